import asyncio
import subprocess
import sys
from typing import Any

import pytest

from despina.http.workers.front_process import kill_when_silent, processor_ticks
from despina.http.workers.patience import BEATS, BEATS_AT_START, BUSY_BEATS, Patience


def test_patience_begins_anew_with_every_answer() -> None:
    patience = Patience()
    assert all(patience.beat(0) for _ in range(BEATS_AT_START))
    patience.answered()
    assert all(patience.beat(0) for _ in range(BEATS))
    patience.answered()
    assert [patience.beat(0) for _ in range(BEATS + 1)] == [*(True,) * BEATS, False]


def test_patience_with_a_front_end_that_works_is_greater_and_ends_too() -> None:
    patience = Patience()
    patience.answered()
    assert [patience.beat(worked) for worked in range(BUSY_BEATS + 1)] == [*(True,) * BUSY_BEATS, False]


def test_patience_with_a_front_end_that_works_no_more_is_as_with_one_that_hangs() -> None:
    patience = Patience()
    patience.answered()
    assert all(patience.beat(worked) for worked in range(1, 100))
    assert [patience.beat(99) for _ in range(BEATS + 1)] == [*(True,) * BEATS, False]


@pytest.mark.parametrize(("program", "killed"), [("import time; time.sleep(60)", True), ("while True: pass", False)])
def test_a_silent_process_that_works_is_not_killed(program: str, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.http.workers.front_process.BEAT_S", 0.05)

    class Silent:
        """The channel of a front end that answered once."""

        def __init__(self) -> None:
            self._patience = Patience()
            self._patience.answered()
            self.ping = self._patience.beat

    async def run() -> bool:
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", program)
        silent: Any = Silent()
        watching = asyncio.ensure_future(kill_when_silent(process, silent))
        await asyncio.wait([watching], timeout=15 if killed else 2 * BEATS * 0.05)
        was_killed = watching.done()
        if not was_killed:
            watching.cancel()
            process.kill()
        await process.wait()
        return was_killed

    assert asyncio.run(run()) == killed


def test_the_processor_time_of_a_process_that_is_gone_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert processor_ticks(process.pid) == 0
