"""Real models behind services, under load: right answers, real batches, no request lost."""

import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tests.support.asking import ask_json

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry
from despina.deploy.service import State
from despina.deploy.services import Services

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples" / "scripts"
CLIENTS = 64

PATIENT = "\nmax_batch_size: 64\ndynamic_batching { max_queue_delay_microseconds: 20000 }\n"
"""Waits for company long enough to find it on any machine."""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    home = Home(tmp_path / "home")
    home.directory.mkdir()
    made = Services(home, Registry(home))
    yield made
    for name in made.names():
        made.delete(name)


@pytest.fixture
def digits(tmp_path: Path, services: Services) -> str:
    """The example model with a batcher that waits, registered."""
    folder = tmp_path / "models" / "triton" / "digits"
    shutil.copytree(ROOT / "model_repository" / "digits", folder)
    with (folder / "config.pbtxt").open("a") as config:
        config.write(PATIENT)
    home = Home(tmp_path / "home")
    return Registry(home).register(ModelDescription("digits", "Multi"), tmp_path / "models").id


@pytest.fixture(scope="module")
def held_out() -> tuple[Any, Any]:
    """Images [450, 64] that the model was not trained on, and their labels [450]."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    images, labels = datasets.load_digits(return_X_y=True)
    _, held_out, _, truth = train_test_split(
        images.astype(np.float32), labels, test_size=450, random_state=0, stratify=labels
    )
    return held_out, truth


def deploy(services: Services, model: str, script: str | None = None, workers: int = 4) -> None:
    environment = EnvironmentSpec("e", variables={"WORKER_COUNT": str(workers)})
    inference = None if script is None else InferenceSpec(script, SCRIPTS, environment)
    services.deploy(DeployRequest("svc", [model], DeploymentConfig(), inference, overwrite=True))
    state = services.wait("svc")
    assert (state.state, state.error) == (State.RUNNING, None), state.log


def executions(services: Services) -> dict[int, int]:
    """Executions of the model so far by batch size."""
    port = services.get("svc")[0].port
    (statistics,) = ask_json(port, "GET", "/v2/models/digits/stats")[1]["model_stats"]
    return {one["batch_size"]: one["compute_infer"]["count"] for one in statistics["batch_stats"]}


def ask_all(port: int, path: str, bodies: list[bytes], clients: int = CLIENTS) -> list[Any]:
    """The answers to bodies that so many clients send at once, each on a connection it keeps."""
    answers: list[Any] = [None] * len(bodies)

    def client(first: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            for index in range(first, len(bodies), clients):
                connection.request("POST", path, bodies[index], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == 200, text
                answers[index] = json.loads(text)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return answers


def in_process(images: Any) -> Any:
    """Classes [n] by the runtime alone."""
    path = ROOT / "model_repository" / "digits" / "1" / "model.onnx"
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0].argmax(axis=1)


def test_digits_of_64_clients_of_a_direct_service(services: Services, digits: str, held_out: tuple[Any, Any]) -> None:
    images, truth = held_out
    deploy(services, digits)
    tensors = [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": row.tolist()} for row in images]
    bodies = [json.dumps({"inputs": [tensor]}).encode() for tensor in tensors]
    answers = ask_all(services.get("svc")[0].port, "/v2/models/digits/infer", bodies)
    got = np.array([np.argmax(answer["outputs"][0]["data"]) for answer in answers])
    assert (got == in_process(images)).all()
    assert (got == truth).mean() > 0.95
    counts = executions(services)
    assert sum(size * count for size, count in counts.items()) == len(images)
    assert max(counts) > 4


def test_digits_of_64_clients_of_an_entry_script(services: Services, digits: str, held_out: tuple[Any, Any]) -> None:
    images, _ = held_out
    deploy(services, digits, "score_digits.py")
    bodies = [json.dumps({"data": [row.tolist()]}).encode() for row in images]
    answers = ask_all(services.get("svc")[0].port, "/score", bodies)
    names = (ROOT / "model_repository" / "digits" / "labels.txt").read_text().split()
    assert [answer["labels"] for answer in answers] == [[names[index]] for index in in_process(images)]
    assert len({answer["pid"] for answer in answers}) > 1
    counts = executions(services)
    assert sum(size * count for size, count in counts.items()) == len(images)
    assert max(counts) > 1


def test_overwriting_a_served_model_under_load_fails_no_request(
    services: Services, digits: str, held_out: tuple[Any, Any]
) -> None:
    images, _ = held_out
    deploy(services, digits)
    port = services.get("svc")[0].port
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": images[0].tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    stop, asked = threading.Event(), list[int]()

    def load(path: str, request: bytes) -> Callable[[], None]:
        def until_told() -> None:
            while not stop.is_set():
                asked.append(len(ask_all(port, path, [request] * 16, clients=2)))

        return until_told

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load("/v2/models/digits/infer", body)) for _ in range(4)]
        deploy(services, digits, "score_digits.py", workers=1)
        deploy(services, digits, "score_digits.py", workers=1)
        deploy(services, digits)
        stop.set()
        for one in loads:
            one.result()
    assert services.get("svc")[0].generation == 4
    assert len(asked) > 4


def test_asynchronous_script_in_front_of_a_model_without_a_batch_axis(tmp_path: Path, services: Services) -> None:
    model = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_densenet121.onnx"
    if not model.exists():
        pytest.skip("the onnx package came without its light_densenet121.onnx")
    folder = tmp_path / "models" / "triton" / "densenet_onnx"
    (folder / "1").mkdir(parents=True)
    shutil.copy(model, folder / "1" / "model.onnx")
    (folder / "densenet_labels.txt").write_text("".join(f"class {index}\n" for index in range(1000)))
    registry = Registry(Home(tmp_path / "home"))
    record = registry.register(ModelDescription("densenet", "Multi"), tmp_path / "models")
    deploy(services, record.id, "score_densenet.py", workers=2)

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    image = np.full((1, 3, 224, 224), 0.0, np.float32)
    wanted = session.run(None, {"data_0": image})[0].argmax()
    port = services.get("svc")[0].port
    grey = np.full(224 * 224 * 3, 127.5).round().astype(np.uint8).tobytes()
    seen: set[int] = set()
    while len(seen) < 2:
        for answer in ask_all(port, "/score", [grey] * 4, clients=4):
            assert answer["class"] == f"class {wanted}"
            seen.add(answer["pid"])
    with pytest.raises(AssertionError, match="expected 150528 bytes, got 3"):
        ask_all(port, "/score", [b"abc"], clients=1)
