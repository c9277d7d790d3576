"""Processes of a service that are killed, or hang."""

import os
import signal
import subprocess
import threading

import pytest
from tests.support.services import PID, Bench, alive, eventually, processes

from despina.deploy.running import _start_guard
from despina.deploy.service import State
from despina.deploy.supervisor.guard import LOCK
from despina.errors import Unavailable


@pytest.mark.parametrize("victim", ["supervisor", "gunicorn", "worker"])
def test_killed_process_is_replaced_and_leaves_no_orphan(bench: Bench, victim: str) -> None:
    bench.deploy(PID)
    before = processes(bench)
    killed = {"supervisor": 1, "gunicorn": 2, "worker": 3}[victim]
    os.kill(before[killed], signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in before[killed:]))

    def back() -> bool:
        try:
            return bench.ask()[0] == 200 and bench.services.get("svc")[1].state is State.RUNNING
        except OSError:
            return False

    eventually(back)
    after = processes(bench)
    assert after[:killed] == before[:killed]
    assert len(after) == 4


def test_killed_supervisor_is_replaced_though_its_log_cannot_be_written(bench: Bench) -> None:
    bench.folder().path.mkdir(parents=True)
    bench.folder().log.symlink_to("/dev/full")
    bench.deploy(PID)
    before = processes(bench)
    os.kill(before[1], signal.SIGKILL)
    eventually(lambda: not alive(before[1]))
    eventually(lambda: not alive(before[0]) or len(processes(bench)) == len(before))
    assert alive(before[0])
    assert bench.services.wait("svc").state is State.RUNNING


def test_killed_guard_takes_everything_with_it_and_is_told(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids))
    # A process whose first thread has ended may still hold the lock for a moment.
    eventually(lambda: bench.services.get("svc")[1].state is State.FAILED)
    assert "processes of this service are gone" in (bench.services.get("svc")[1].error or "")
    bench.services.restart("svc")
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask()[0] == 200
    assert len(processes(bench)) == len(pids)


def test_starter_that_is_killed_before_its_guard_has_said_who_it_is_keeps_nobody_from_a_restart(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids))
    with subprocess.Popen(["sleep", "60"]) as other:  # has the pid of the guard that has gone
        (bench.folder().path / LOCK).write_text(str(other.pid))
        reading, writing = os.pipe()
        guard = _start_guard(bench.folder(), writing)
        restart = threading.Thread(target=bench.services.restart, args=("svc",), daemon=True)
        restart.start()
        restart.join(30)
        assert not restart.is_alive()
        assert other.poll() is None
        other.kill()
    guard.wait()
    os.close(reading)
    os.close(writing)
    assert bench.services.wait("svc").state is State.RUNNING


def test_guard_that_is_about_to_end_does_not_keep_a_service_from_its_start(bench: Bench) -> None:
    bench.deploy(PID)
    guard, supervisor, *_ = processes(bench)
    os.kill(guard, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGTERM)
    eventually(lambda: not alive(supervisor))
    ending = threading.Timer(0.5, os.kill, (guard, signal.SIGCONT))
    ending.start()
    bench.services.restart("svc")
    ending.join()
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask()[0] == 200


def test_guard_that_waits_before_it_starts_the_supervisor_again_gives_way(bench: Bench) -> None:
    bench.deploy(PID)
    supervisor = processes(bench)[1]
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not alive(supervisor))
    bench.services.restart("svc")
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask()[0] == 200


def test_supervisor_that_hangs_is_told_as_such(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = bench.deploy(PID).supervisor_pid
    assert pid is not None
    monkeypatch.setattr("despina.deploy.running.ASK_SECONDS", 0.1)
    os.kill(pid, signal.SIGSTOP)
    ((_, state),) = bench.services.all()
    assert (state.state, state.error) == (State.UNKNOWN, "the supervisor of service svc has not answered for 0.1 s")
    with pytest.raises(Unavailable, match="the supervisor of service svc has not answered"):
        bench.services.restart("svc")
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    eventually(lambda: bench.services.get("svc")[1].state is State.RUNNING)
