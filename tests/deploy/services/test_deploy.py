"""Services of a script alone, which start quickly: from their deployment to their answers."""

import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.services import ANSWER, PID, Bench, alive, eventually, processes

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription
from despina.deploy.running import current_state, guard_pid
from despina.deploy.service import ServiceState, State
from despina.deploy.services import Services
from despina.errors import AlreadyExists, InvalidArgument, NotFound


def test_what_a_configuration_says_in_vain_is_told(bench: Bench) -> None:
    said: list[str] = []
    size = {"cpu_cores": 1.0, "gpu_cores": 1, "num_replicas": 3, "period_seconds": 3}
    config = DeploymentConfig("local", primary_key="mine", **size)  # type: ignore[arg-type]
    bench.services.deploy(DeployRequest("svc", ["m"], config, bench.script(PID)), said.append)
    bench.services.wait("svc")
    assert said[:-1] == [
        "warning: containerResourceRequirements, gpuCores, livenessProbeRequirements, numReplicas: ignored on this "
        "machine; a cluster (--compute-target) heeds them",
        "warning: keys are ignored: requests need none, because authEnabled does not say so",
    ]


def test_a_script_that_gets_no_server_for_its_repository_is_told(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "models" / "triton" / "densenet" / "1").mkdir(parents=True)
    (tmp_path / "models" / "triton" / "densenet" / "1" / "model.onnx").write_bytes(b"weights")
    bench.registry.register(ModelDescription("densenet"), tmp_path / "models")
    said: list[str] = []
    request = DeployRequest("svc", ["m", "densenet"], DeploymentConfig(), bench.script(PID))
    bench.services.deploy(request, said.append)
    bench.services.wait("svc")
    assert said[0] == (
        "warning: model densenet:1 holds a model repository, but its framework is Custom: no inference server runs "
        "beside the script; register the model with --model-framework=Multi to have one"
    )


def test_script_runs_with_its_model_and_goes_without_a_trace(bench: Bench) -> None:
    script = (
        "import os, pathlib\nfrom azureml.core.model import Model\ndef init(): pass\n"
        "def run(data): return [pathlib.Path(os.environ['AZUREML_MODEL_DIR'], 'model.txt').read_text(),\n"
        "    pathlib.Path(Model.get_model_path('m')).read_text(), os.environ.get('TRITON_HTTP_URL')]\n"
    )
    assert bench.deploy(script).state is State.RUNNING
    assert bench.ask() == (200, ["weights", "weights", None])
    assert bench.ask("/api/v1/service/svc/score") == (200, ["weights", "weights", None])
    pids = processes(bench)
    assert len(pids) == 4
    port = bench.services.get("svc")[0].port
    bench.services.delete("svc")
    assert not any(alive(pid) for pid in pids[1:])
    eventually(lambda: not alive(pids[0]))  # the guard lets go of its lock with its last breath
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
    assert list(bench.home.services.iterdir()) == []
    with pytest.raises(NotFound, match="No service with name svc found; have none"):
        bench.services.get("svc")


def test_workers_as_many_as_said(bench: Bench) -> None:
    bench.deploy(PID, workers=2)
    seen: set[int] = set()

    def both() -> bool:
        seen.add(bench.ask()[1])
        return len(seen) == 2

    eventually(both)


def test_init_that_raises_fails_the_deployment_with_its_log(bench: Bench) -> None:
    state = bench.deploy("def init(): raise RuntimeError('no weights')\ndef run(data): pass\n")
    assert state.state is State.FAILED
    assert state.error == "the score workers ended with status 3 before it was ready"
    assert any("RuntimeError: no weights" in line for line in state.log)
    eventually(lambda: guard_pid(bench.folder()) is None)
    assert bench.services.get("svc")[1] == state


def test_service_that_failed_is_deployed_again_while_it_still_has_a_client(bench: Bench) -> None:
    failing = (
        "import pathlib, time\ndef init():\n    while not pathlib.Path('go').exists(): time.sleep(0.01)\n    1 / 0\n"
    )
    script = bench.script(failing + "def run(data): pass\n")
    bench.services.deploy(DeployRequest("svc", ["m"], inference=script))
    eventually(lambda: len(processes(bench)) > 2)  # the gate is open then
    with socket.create_connection(("127.0.0.1", bench.services.spec("svc").port)) as client:
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        (bench.folder().generation(1) / "go").touch()
        assert bench.services.wait("svc").state is State.FAILED
        bench.deploy(ANSWER.format(answer=2))
        assert bench.ask() == (200, 2)
        client.settimeout(10)
        while client.recv(1000):  # until it is closed
            pass
    assert bench.ask() == (200, 2)


def test_name_that_is_taken_needs_overwrite(bench: Bench) -> None:
    bench.deploy(PID)
    with pytest.raises(AlreadyExists, match="service svc exists already; say --overwrite"):
        bench.services.deploy(DeployRequest("svc", ["m"]))


def test_two_operations_at_once_are_refused(bench: Bench) -> None:
    running = pytest.raises(AlreadyExists, match="an operation on service svc is running already")
    with bench.folder().operation(), running:
        bench.deploy(PID)


def test_timeout_and_limit_of_the_configuration_are_kept(bench: Bench) -> None:
    bench.deploy(PID)  # without a limit
    bench.deploy(
        "import time\ndef init(): pass\ndef run(data): time.sleep(float(data or 0))\n",
        replica_max_concurrent_requests=1,
        max_request_wait_time=50,
        scoring_timeout_ms=700,
    )
    slow = threading.Thread(target=lambda: results.append(bench.ask(body="5")))
    results: list[Any] = []
    slow.start()
    eventually(lambda: bench.ask(body="0")[0] == 503)
    slow.join()
    assert results[0][0] in (500, 504)
    assert bench.ask(body="0")[0] == 200


def test_service_has_a_session_of_its_own(bench: Bench) -> None:
    bench.deploy(PID)
    assert os.getsid(processes(bench)[0]) != os.getsid(0)


def test_a_source_directory_that_holds_the_home_is_refused(bench: Bench) -> None:
    (bench.root / "score.py").write_text(PID)
    with pytest.raises(InvalidArgument, match=r"source directory .* holds .*/home, which has the registry"):
        bench.services.deploy(DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", bench.root)))
    assert bench.services.names() == []


def test_what_a_script_started_ends_with_its_service(bench: Bench) -> None:
    start = "def init():\n    global process\n    process = subprocess.Popen(['sleep', '60'])\n"
    bench.deploy(f"import subprocess\n{start}def run(data): return process.pid\n")
    started = bench.ask()[1]
    assert alive(started)
    bench.services.delete("svc")
    eventually(lambda: not alive(started), 5)


def test_script_may_tidy_up_at_its_end(bench: Bench) -> None:
    tidied = bench.root / "tidied"
    tidy = f"def init(): atexit.register(pathlib.Path({str(tidied)!r}).touch)\n"
    bench.deploy(f"import atexit, pathlib\n{tidy}def run(data): pass\n")
    bench.services.delete("svc")
    assert tidied.exists()


def test_variable_that_no_process_can_have_fails_the_deployment(bench: Bench) -> None:
    state = bench.deploy(PID, workers="\ud800")
    assert state.state is State.FAILED
    assert (state.error or "").startswith("the score workers cannot be started: 'utf-8' codec can't encode")


def test_service_that_is_being_started_has_not_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ServiceState] = []

    class Started(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            seen.append(current_state(bench.folder()))

    monkeypatch.setattr("despina.deploy.running.subprocess.Popen", Started)
    bench.deploy(PID)
    assert [(state.state, state.error) for state in seen] == [(State.DEPLOYING, "its supervisor is being started")]


def test_a_source_directory_may_hold_a_home_that_is_not_copied(bench: Bench) -> None:
    services = Services(Home(bench.root / ".despina"), bench.registry)
    (bench.root / "score.py").write_text(PID)
    with pytest.raises(InvalidArgument, match="give --compute-target too"):  # what is looked at next
        services.render(
            DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", bench.root)), bench.root / "out"
        )
