import os
import signal
import socket
import threading

import pytest
from tests.support.services import ANSWER, WAITING, Bench, eventually, processes

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.label_change import LabelChange
from despina.deploy.service import State
from despina.deploy.supervisor.commands import free_port
from despina.errors import InvalidArgument


def test_overwrite_under_load_fails_no_request(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    stop, seen, wrong = threading.Event(), set(), []

    def load() -> None:
        while not stop.is_set():
            status, answer = bench.ask()
            seen.add(answer)
            if status != 200:
                wrong.append((status, answer))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for answer in (2, 3):
        assert bench.deploy(ANSWER.format(answer=answer)).state is State.RUNNING
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == {1, 2, 3}
    assert bench.ask() == (200, 3)


def test_failed_overwrite_keeps_the_old_one_answering(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    state = bench.deploy("def init(): raise RuntimeError('no weights')\ndef run(data): pass\n")
    assert state.state is State.RUNNING
    assert state.error is not None
    assert state.error.startswith("generation 2 failed, generation 1 still answers: the score workers ended")
    assert bench.ask() == (200, 1)
    assert bench.deploy(ANSWER.format(answer=3)).error is None
    assert bench.ask() == (200, 3)


def test_failed_overwrite_changes_nothing_that_others_see(bench: Bench) -> None:
    bad = "def init(): raise RuntimeError('no weights')\ndef run(data): pass\n"
    bench.deploy(ANSWER.format(answer=1), auth_enabled=True, primary_key="first", secondary_key="second")
    port, keys = bench.services.get("svc")[0].port, bench.services.keys("svc")
    bench.services.label("svc", LabelChange("said later", {"a": "b"}))
    state = bench.deploy(bad, port=free_port(), auth_enabled=True, primary_key="third")
    spec = bench.services.spec("svc")
    assert (spec.port, spec.description, spec.tags) == (port, "said later", {"a": "b"})
    assert bench.services.keys("svc") == keys
    assert bench.ask(key="first") == (200, 1)
    assert state.supervisor_pid is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)

    def back() -> bool:
        try:
            return bench.ask(key="first") == (200, 1)
        except OSError:
            return False

    eventually(back)


def test_overwrite_may_move_the_service_to_another_port(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    before = bench.services.get("svc")[0].port
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        with pytest.raises(InvalidArgument, match=f"port {port} is taken by another process"):
            bench.deploy(ANSWER.format(answer=2), port=port)
    bench.deploy(ANSWER.format(answer=2), port=port)
    assert bench.services.get("svc")[0].port == port != before
    assert bench.ask() == (200, 2)


def test_overwrite_whose_port_was_taken_meanwhile_leaves_no_process(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    config = DeploymentConfig(port=free_port())
    bench.services.deploy(DeployRequest("svc", ["m"], config, bench.script(WAITING), overwrite=True))
    with socket.create_server(("127.0.0.1", config.port or 0)):
        (bench.folder().generation(2) / "go").touch()
        error = bench.services.wait("svc").error or ""
    assert error.startswith("generation 2 failed, generation 1 still answers: ")
    assert "address already in use" in error
    eventually(lambda: len(processes(bench)) == 4)
    assert bench.ask() == (200, 1)


def test_of_two_deployments_under_way_the_newer_counts(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    bench.services.deploy(DeployRequest("svc", ["m"], inference=bench.script(WAITING), overwrite=True))
    assert bench.deploy(ANSWER.format(answer=3)).generation == 3
    eventually(lambda: len(processes(bench)) == 4)
    assert bench.ask() == (200, 3)
