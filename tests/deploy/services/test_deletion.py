import os
import shutil
import signal
import threading
from typing import Any

import pytest
from tests.support.services import PID, SLEEPING, Bench, alive, eventually, gone, processes

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.running import current_state, stop, wait_until_settled
from despina.deploy.service import ServiceState, State


def test_who_waits_for_a_service_is_told_that_it_was_deleted(bench: Bench) -> None:
    bench.services.deploy(DeployRequest("svc", ["m"], inference=bench.script(SLEEPING)))
    states: list[ServiceState] = []
    waiting = threading.Thread(target=lambda: states.append(wait_until_settled(bench.folder())))
    waiting.start()
    eventually(lambda: len(processes(bench)) > 2)  # it is under way
    bench.services.delete("svc")
    waiting.join(30)
    assert [(state.state, state.error) for state in states] == [(State.DELETED, "it was deleted meanwhile")]


def test_service_whose_folder_is_gone_was_deleted(bench: Bench) -> None:
    assert current_state(bench.folder("gone")).state is State.DELETED


def test_deletion_that_was_interrupted_is_told_and_can_be_ended(bench: Bench) -> None:
    bench.deploy(PID)
    stop(bench.folder())  # what `delete` does first
    state = bench.services.get("svc")[1]
    assert state.state is State.DELETED
    assert state.error == "it is being deleted; where that was interrupted `despina service delete` goes on"
    bench.services.delete("svc")
    assert bench.services.names() == []


def test_service_whose_supervisor_is_about_to_be_started_again_is_deleted(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    os.kill(pids[1], signal.SIGKILL)
    eventually(lambda: not alive(pids[1]))
    bench.services.delete("svc")
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_service_whose_guard_was_killed_is_deleted_when_its_last_request_is_answered(bench: Bench) -> None:
    run = "def run(data):\n    pathlib.Path('begun').touch()\n    time.sleep(2)\n    return 1\n"
    bench.deploy(f"import pathlib, time\ndef init(): pass\n{run}")
    pids = processes(bench)
    answers: list[Any] = []
    request = threading.Thread(target=lambda: answers.append(bench.ask()))
    request.start()
    eventually((bench.folder().generation(1) / "begun").exists)
    os.kill(pids[0], signal.SIGKILL)
    bench.services.delete("svc")
    assert not any(alive(pid) for pid in pids[2:])
    request.join()
    assert answers == [(200, 1)]


@pytest.mark.parametrize("dies", ["supervisor", "part"])
def test_service_ends_when_its_folder_was_removed_and_one_of_its_processes_dies(bench: Bench, dies: str) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    shutil.rmtree(bench.home.services)
    os.kill(pids[{"supervisor": 1, "part": 2}[dies]], signal.SIGKILL)
    gone(pids)
    assert not bench.home.services.exists()
