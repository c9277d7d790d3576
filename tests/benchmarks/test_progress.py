import os
import pty
import sys

import pytest
from benchmarks.progress import Progress, bar


def test_the_bar_says_how_far_and_how_long() -> None:
    assert bar(1, 4, 30.0, "mlp") == "[#######.......................] 1/4, 1:30 left, mlp"


def test_it_stays_in_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((40, 25)))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        Progress(4).show("a label that is longer than the line")
    drawn = os.read(ours, 1000).decode()
    os.close(ours)
    assert drawn == "\r\x1b[K[..............................] 0/4, a"


def test_before_the_first_step_nothing_is_known_of_the_time() -> None:
    assert bar(0, 4, 0.0, "mlp") == "[..............................] 0/4, mlp"
