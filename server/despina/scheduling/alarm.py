"""Short waits that end on time: a timer of the kernel that the event loop watches like a socket (Linux only).

The loop's own timers count whole milliseconds. In a wait of less than one it would not sleep at all, but look at the
clock again and again.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from time import monotonic_ns

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NONBLOCK_CLOEXEC = 0o2004000
"""From <time.h> and <sys/timerfd.h>. Python has functions for this from 3.13 on."""


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


@dataclass(slots=True, eq=False)
class Ring:
    """One call that was asked for. Implements `Timer`."""

    when_ns: int
    callback: Callable[[], None] | None

    def __lt__(self, other: "Ring") -> bool:
        return self.when_ns < other.when_ns

    def cancel(self) -> None:
        self.callback = None


class Alarm:
    """Calls back on the thread of a running event loop, some 20 µs after the time asked for. To make one raises
    AttributeError or TypeError where the system has no such timers, OSError where it has none left."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = -1
        library = ctypes.CDLL(None, use_errno=True)
        self._set_time = library.timerfd_settime
        self._spec = _TimerSpec()
        self._spec_place = ctypes.byref(self._spec)
        self._rings: list[Ring] = []
        self._descriptor = library.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        loop.add_reader(self._descriptor, self._ring)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Ring:
        """Run `callback` at `when_ns`, as `monotonic_ns` has it."""
        ring = Ring(when_ns, callback)
        heappush(self._rings, ring)
        if self._rings[0] is ring:
            self._set(when_ns)
        return ring

    def _ring(self) -> None:
        rings, now_ns = self._rings, monotonic_ns()
        try:
            while rings and rings[0].when_ns <= now_ns:
                callback = heappop(rings).callback
                if callback is not None:
                    callback()
        finally:
            self._set(rings[0].when_ns if rings else 0)

    def _set(self, when_ns: int) -> None:
        """Set the timer, which is not readable any more until then; 0 for never."""
        self._spec.value_s, self._spec.value_ns = divmod(when_ns, 1_000_000_000)
        self._set_time(self._descriptor, _ABSOLUTE, self._spec_place, None)
