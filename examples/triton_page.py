"""High-performance serving, from registering a model to deleting its service, in Python.

Run it cell by cell or as a whole. Beside the imports it is what one would write for the cloud: `COMPUTE_TARGET` in the
environment names an attached cluster, without it everything runs on this machine.
"""

# %% The imports, the only lines that differ from the cloud's
import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.http as triton

from despina.deploy.sdk import AksWebservice, Environment, InferenceConfig, Model, Workspace

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent / "model_repository"

# %% The directory structure: models/triton/MODEL/VERSION/model.onnx
work = tempfile.mkdtemp()
os.chdir(work)
shutil.copytree(REPOSITORY, "models/triton", ignore=shutil.ignore_patterns("*.py"))
ws = Workspace.from_config()

# %% Register
model = Model.register(
    model_path="models",
    model_name="my_triton_model",
    tags={"area": "Vision", "type": "Classification"},
    description="Handwritten digits, and two small ones",
    workspace=ws,
    model_framework=Model.Framework.MULTI,  # a model repository
)

# %% Deploy without code
service_name = "triton-webservice"
config = AksWebservice.deploy_configuration(
    compute_target_name=os.environ.get("COMPUTE_TARGET"),
    cpu_cores=1,
    memory_gb=4,
    auth_enabled=True,
)
service = Model.deploy(
    workspace=ws,
    name=service_name,
    models=[model],
    deployment_config=config,
    overwrite=True,
)
service.wait_for_deployment(show_output=True)
print(service.state)
print(service.scoring_uri)

# %% Is it ready?
primary, secondary = service.get_keys()


def status(url: str, key: str | None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


ready = f"{service.scoring_uri}v2/health/ready"
print("ready without a key:", status(ready, None))
print("ready with the primary key:", status(ready, primary))
print("ready with the secondary key:", status(ready, secondary))

# %% Ask it
pixels = json.loads((REPOSITORY / "digits" / "example.json").read_text())["inputs"][0]["data"]
with triton.InferenceServerClient(service.scoring_uri[7:]) as client:  # without http://, the base path stays
    image = triton.InferInput("image", [1, 64], "FP32")
    image.set_data_from_numpy(np.array([pixels], np.float32))
    result = client.infer("digits", [image], headers={"Authorization": f"Bearer {primary}"})
print("inferred:", result.as_numpy("probabilities").argmax())

# %% Redeploy with an entry script and two workers
env = Environment.get(ws, "AzureML-Triton").clone("My-Triton")
for pip_package in ["numpy"]:
    env.python.conda_dependencies.add_pip_package(pip_package)
env.environment_variables["WORKER_COUNT"] = "2"

inference_config = InferenceConfig(
    entry_script="score_digits.py",  # asks the inference server beside it
    source_directory=os.path.join(HERE, "scripts"),
    environment=env,
)
service = Model.deploy(
    workspace=ws,
    name=service_name,
    models=[model],
    inference_config=inference_config,
    deployment_config=config,
    overwrite=True,
)
service.wait_for_deployment(show_output=True)
print(service.state)
print(service.scoring_uri)

# %% Score
request = json.dumps({"data": [pixels]})
print(service.run(request)["labels"])
with ThreadPoolExecutor(8) as pool:  # so many clients at once that both workers have something to do
    workers = {answer["pid"] for answer in pool.map(service.run, [request] * 200)}
print("score workers that answered:", len(workers))

# %% Replace the primary key
service.regen_key("Primary")
print("ready with the old key:", status(ready, primary))
print("ready with the new key:", status(ready, service.get_keys()[0]))

# %% Delete
service.delete()
print(service.state)

# %% Leave nothing behind
os.chdir(HERE)
shutil.rmtree(work)
