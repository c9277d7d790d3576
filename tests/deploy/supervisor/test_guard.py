import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.supervisor.guard import _guard


def test_supervisor_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Any] = [BlockingIOError(11, "Resource temporarily unavailable"), 1, 0]
    slept: list[float] = []

    class Supervisor:
        def __init__(self, words: list[str], **more: Any) -> None:
            if isinstance(answers[0], OSError):
                raise answers.pop(0)

        def poll(self) -> int:
            status: int = answers.pop(0)
            return status

    monkeypatch.setattr(subprocess, "Popen", Supervisor)
    monkeypatch.setattr("despina.deploy.supervisor.guard._is_ended_within", slept.append)
    reading, writing = os.pipe()
    _guard(tmp_path, writing, 0)
    with open(reading, "rb") as ready:
        assert ready.read() == b""  # whoever waits for the first one goes on
    assert slept == [0.5, 1.0]
    assert capsys.readouterr().err == (
        "the supervisor cannot be started ([Errno 11] Resource temporarily unavailable); starting it again in 0.5 s\n"
        "the supervisor ended with status 1; starting it again in 1 s\n"
    )


GUARD = """
import os, signal, subprocess, sys
from despina.deploy.supervisor import guard

class Supervisor(subprocess.Popen):
    def __init__(self, words, **more):
        if {when!r} == "before": os.kill(os.getpid(), signal.SIGTERM)
        super().__init__([sys.executable, "-c", {script!r}], **more)
        print(self.pid, flush=True)
        if {when!r} == "after": os.kill(os.getpid(), signal.SIGTERM)

    def __del__(self):
        if {when!r} == "finalizer": os.kill(os.getpid(), signal.SIGTERM)
        super().__del__()

guard.FIRST_DELAY_SECONDS = 0.1
subprocess.Popen = Supervisor
guard.main()
"""
SLEEPS = "import time; time.sleep(60)"
FAILS = "raise SystemExit(1)"


@pytest.mark.parametrize(("when", "script"), [("before", SLEEPS), ("after", SLEEPS), ("finalizer", FAILS)])
def test_it_ends_at_whatever_moment_it_is_told_to_and_its_supervisor_with_it(
    tmp_path: Path, when: str, script: str
) -> None:
    reading, writing = os.pipe()
    lock = os.open(tmp_path / "run.lock", os.O_CREAT | os.O_RDWR)
    words = [sys.executable, "-c", GUARD.format(when=when, script=script), str(tmp_path), str(lock), str(writing)]
    with subprocess.Popen(
        words, pass_fds=(lock, writing), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        os.close(writing)
        try:
            out, err = started.communicate(timeout=30)  # ends when guard and supervisor have ended
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            raise
    os.close(reading)
    assert len(out.splitlines()) == 1, err
    with pytest.raises(ProcessLookupError):
        os.kill(int(out), signal.SIGCONT)
