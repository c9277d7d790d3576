import os
import subprocess
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

        def wait(self) -> int:
            status: int = answers.pop(0)
            return status

    monkeypatch.setattr(subprocess, "Popen", Supervisor)
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    reading, writing = os.pipe()
    _guard(tmp_path, writing, 0)
    with open(reading, "rb") as ready:
        assert ready.read() == b""  # whoever waits for the first one goes on
    assert slept == [0.5, 1.0]
    assert capsys.readouterr().err == (
        "the supervisor cannot be started ([Errno 11] Resource temporarily unavailable); starting it again in 0.5 s\n"
        "the supervisor ended with status 1; starting it again in 1 s\n"
    )
