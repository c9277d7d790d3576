"""Services with an inference server, alone or beside a script."""

import os
import signal
from pathlib import Path

import numpy
import tritonclient.http as client
from tests.support.services import Bench, alive, eventually, processes

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.record import ModelDescription
from despina.deploy.service import State


def test_direct_service_speaks_the_protocol_below_its_base_path(bench: Bench, repository: Path) -> None:
    bench.registry.register(ModelDescription("my_triton_model", "Multi"), repository)
    bench.services.deploy(DeployRequest("svc", ["my_triton_model:1"], DeploymentConfig(auth_enabled=True)))
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask("/v2/health/ready", None)[0] == 401
    key = bench.services.keys("svc").secondary
    assert bench.ask("//v2/health/ready", None, key=key)[0] == 200
    with client.InferenceServerClient(f"localhost:{bench.services.get('svc')[0].port}/api/v1/service/svc/") as one:
        tensor = client.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(numpy.ones((2, 4), numpy.float32))
        answer = one.infer("double", [tensor], headers={"Authorization": f"Bearer {key}"})
    assert answer.as_numpy("y").tolist() == [[2.0] * 4] * 2


def test_onnx_file_is_wrapped_into_a_repository(bench: Bench, repository: Path) -> None:
    bench.registry.register(ModelDescription("double", "Onnx"), repository / "triton/double/1/model.onnx")
    bench.services.deploy(DeployRequest("svc", ["double"]))
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask("/v2/models/double/versions/1/ready", None)[0] == 200


MIDDLEWARE = """
import json, os
import numpy as np
import tritonclient.http as client

def init():
    global triton
    triton = client.InferenceServerClient(os.environ["TRITON_HTTP_URL"])

def run(data):
    tensor = client.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([json.loads(data)], np.float32))
    return [os.getpid(), triton.infer("double", [tensor]).as_numpy("y").tolist()]
"""


def test_middleware_service_calls_the_server_beside_it(bench: Bench, repository: Path) -> None:
    bench.registry.register(ModelDescription("m", "Multi"), repository)
    state = bench.deploy(MIDDLEWARE, workers=2)
    assert state.state is State.RUNNING
    answers = [bench.ask(body="[1, 2, 3, 4]") for _ in range(50)]
    assert {status for status, _ in answers} == {200}
    assert {str(answer[1]) for _, answer in answers} == {"[[2.0, 4.0, 6.0, 8.0]]"}
    seen = {answer[0] for _, answer in answers}

    def both() -> bool:
        seen.add(bench.ask(body="[1, 2, 3, 4]")[1][0])
        return len(seen) == 2

    eventually(both)
    assert bench.ask("/v2/models/double/ready", None)[0] == 200
    server = next(pid for pid in processes(bench) if "serve" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not alive(server))
    eventually(lambda: bench.ask(body="[1, 2, 3, 4]")[0] == 200)


def test_model_that_cannot_be_loaded_fails_the_deployment(bench: Bench, repository: Path) -> None:
    (repository / "triton/double/1/model.onnx").write_bytes(b"nonsense")
    bench.registry.register(ModelDescription("broken", "Multi"), repository)
    bench.services.deploy(DeployRequest("svc", ["broken"]))
    state = bench.services.wait("svc")
    assert state.state is State.FAILED
    assert state.error is not None
    assert "the inference server ended with status" in state.error
    assert any("double" in line for line in state.log)


def test_middleware_services_that_start_at_once_get_servers_of_their_own(bench: Bench, repository: Path) -> None:
    bench.registry.register(ModelDescription("m", "Multi"), repository)
    script = bench.script(MIDDLEWARE)
    names = ("svc", "other", "third")
    for name in names:
        bench.services.deploy(DeployRequest(name, ["m"], inference=script))
    states = {name: bench.services.wait(name) for name in names}
    assert {state.state for state in states.values()} == {State.RUNNING}
    assert len({state.server_url for state in states.values()}) == len(names)
    for name in names:
        assert bench.ask(body="[1, 2, 3, 4]", name=name)[0] == 200
