"""Time as schedulers see it: the event loop's in the server, a hand-turned one in tests."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from time import monotonic_ns
from typing import Protocol

from despina.scheduling.alarm import Alarm

SHORT_NS = 10_000_000
"""For waits up to this the loop's own timers, which count milliseconds, are not precise enough."""

AWAKE_NS = 20_000
"""To be woken up takes so long. The loop stays awake for what is left of a wait."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Everything a scheduler may ask of time. All callbacks run on the event loop's thread."""

    def now_ns(self) -> int: ...

    def call_soon(self, callback: Callable[[], None]) -> object:
        """Run `callback` once everything that is ready now has been read."""
        ...

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` at about `when_ns`, perhaps a millisecond early."""
        ...

    def call_threadsafe(self, callback: Callable[[], None]) -> object:
        """Run `callback` on the loop's thread; may be called from any thread."""
        ...

    def watch(self, descriptor: int, callback: Callable[[], None], /) -> object:
        """Run `callback` whenever a file descriptor is readable, until `unwatch`."""
        ...

    def unwatch(self, descriptor: int, /) -> object: ...


class LoopClock:
    """The clock of a running asyncio event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.call_soon = loop.call_soon
        self.call_threadsafe = loop.call_soon_threadsafe
        self.watch = loop.add_reader
        self.unwatch = loop.remove_reader

    now_ns = staticmethod(monotonic_ns)

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        # Either may call early: whoever asked looks at the clock and asks again. uvloop rounds to milliseconds.
        wait_ns = when_ns - monotonic_ns()
        if AWAKE_NS < wait_ns < SHORT_NS and (alarm := self._alarm) is not None:
            return alarm.call_at(when_ns - AWAKE_NS, callback)
        return self._loop.call_later(max(0, wait_ns) / 1e9, callback)

    @cached_property
    def _alarm(self) -> Alarm | None:
        """Made for the first short wait, since most servers know none. Without one the loop stays awake."""
        try:
            return Alarm(self._loop)
        except (AttributeError, TypeError, OSError):
            return None
