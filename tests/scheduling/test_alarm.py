import asyncio
import gc
import os
from pathlib import Path
from time import monotonic_ns

import pytest
import uvloop

from despina.scheduling.alarm import Alarm
from despina.scheduling.clock import AWAKE_NS, LoopClock

US = 1_000
MS = 1_000_000


async def test_rings_come_in_the_order_of_their_times_and_not_before_them() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    begin_ns = monotonic_ns()
    rung: list[tuple[int, bool]] = []
    last = asyncio.Event()

    def note(after_us: int) -> None:
        rung.append((after_us, monotonic_ns() >= begin_ns + after_us * US))
        if after_us == 900:
            last.set()

    for after_us in (500, 900, 200):
        alarm.call_at(begin_ns + after_us * US, lambda after_us=after_us: note(after_us))  # type: ignore[misc]
    await asyncio.wait_for(last.wait(), 10)
    assert rung == [(200, True), (500, True), (900, True)]


async def test_a_later_ring_does_not_put_off_an_earlier_one() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    first = asyncio.Event()
    alarm.call_at(monotonic_ns() + 200 * US, first.set)
    alarm.call_at(monotonic_ns() + 3_600_000 * MS, first.clear)
    await asyncio.wait_for(first.wait(), 10)


async def test_what_is_cancelled_does_not_ring() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    begin_ns = monotonic_ns()
    rung: list[str] = []
    last = asyncio.Event()
    alarm.call_at(begin_ns + 100 * US, lambda: rung.append("cancelled")).cancel()
    alarm.call_at(begin_ns + 200 * US, last.set)
    await asyncio.wait_for(last.wait(), 10)
    assert rung == []


async def test_a_ring_may_ask_for_the_next_one_even_if_it_fails() -> None:
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context.get("exception")))
    alarm = Alarm(loop)
    last = asyncio.Event()

    def ask_and_fail() -> None:
        alarm.call_at(monotonic_ns() + 100 * US, last.set)
        raise ValueError

    alarm.call_at(monotonic_ns() + 100 * US, ask_and_fail)
    await asyncio.wait_for(last.wait(), 10)
    assert [type(failure) for failure in failures] == [ValueError]


async def test_a_time_that_is_over_rings_at_once_and_only_once() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    rung: list[int] = []
    alarm.call_at(monotonic_ns() - MS, lambda: rung.append(1))
    await asyncio.sleep(0.005)
    assert rung == [1]


def test_an_alarm_leaves_no_descriptor_behind_its_loop() -> None:
    async def open_one() -> int:
        Alarm(asyncio.get_running_loop())
        return _timers()

    gc.collect()  # loops of other tests, which have timers as well
    before = _timers()
    assert asyncio.run(open_one()) == before + 1
    assert _timers() == before


def _timers() -> int:
    links = [os.readlink(place) for place in Path("/proc/self/fd").iterdir() if place.is_symlink()]
    return sum("timerfd" in link for link in links)


@pytest.mark.parametrize("wait_us", [100, 400, 1_400, 5_000])
def test_the_clock_calls_no_earlier_than_waking_up_takes(wait_us: int) -> None:
    async def early_ns() -> int:
        clock = LoopClock(asyncio.get_running_loop())
        called: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        when_ns = clock.now_ns() + wait_us * US
        clock.call_at(when_ns, lambda: called.set_result(when_ns - clock.now_ns()))
        return await asyncio.wait_for(called, 10)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(early_ns()) <= AWAKE_NS


@pytest.mark.parametrize("error", [AttributeError("timerfd_settime"), TypeError("no library"), OSError("no timer")])
async def test_without_kernel_timers_the_clock_calls_early(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_loop: object) -> None:
        raise error

    monkeypatch.setattr("despina.scheduling.clock.Alarm", fail)
    clock = LoopClock(asyncio.get_running_loop())
    called = asyncio.Event()
    clock.call_at(clock.now_ns() + 400 * US, called.set)
    await asyncio.wait_for(called.wait(), 10)
