"""Scripts that take too long."""

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.score_app import ECHO, Start, ask


@pytest.mark.parametrize("prefix", ["", "async "])
def test_slow_run_is_cut_off_even_if_it_swallows_exceptions(start: Start, prefix: str) -> None:
    app = start(
        f"calls = []\ndef init(): pass\n{prefix}def run(data):\n"
        "    calls.append(1)\n"
        "    while len(calls) == 1:\n        try: sum(range(1000))\n        except Exception: pass\n"
        "    return len(calls)\n",
        scoring_timeout_ms=50,
    )
    answer = ask(app)
    assert answer.status == 500
    assert answer.message == "Scoring timeout after 50 ms"
    assert answer.header("x-ms-run-function-failed") == "True"
    assert ask(app).body == b"2"


def test_run_is_not_cut_off_while_its_loop_is_made(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    new = asyncio.new_event_loop

    def slow() -> asyncio.AbstractEventLoop:
        made.append(new())
        time.sleep(0.1)
        return made[-1]

    script = "import asyncio\ndef init(): pass\nasync def run(data): await asyncio.sleep(float(data))\n"
    app = start(script, scoring_timeout_ms=50)
    with monkeypatch.context() as patched:
        patched.setattr("asyncio.events.new_event_loop", slow)
        assert ask(app, body=b"30").message == "Scoring timeout after 50 ms"
    assert [loop.is_closed() for loop in made] == [True]
    assert ask(app, body=b"0").status == 200


def test_no_alarm_is_left_behind(start: Start) -> None:
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGALRM, mine)
    try:
        app = start(ECHO, scoring_timeout_ms=60_000)
        assert ask(app).status == 200
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) is mine
    finally:
        signal.signal(signal.SIGALRM, before)


def test_where_no_signal_comes_a_script_runs_without_a_limit(start: Start) -> None:
    app = start(ECHO, scoring_timeout_ms=60_000)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(ask, app).result().status == 200
