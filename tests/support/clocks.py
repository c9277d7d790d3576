"""Time that is turned by hand."""

from collections.abc import Callable
from dataclasses import dataclass

MS = 1_000_000


@dataclass(eq=False)
class VirtualTimer:
    when_ns: int
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """Nothing happens by itself: `settle` runs what is ready, `advance` lets time pass. A round of `settle` takes
    `round_ns`."""

    def __init__(self) -> None:
        self._now = 1_000 * MS
        self._ready: list[Callable[[], None]] = []
        self.round_ns = 0
        self.timers: list[VirtualTimer] = []

    def now_ns(self) -> int:
        return self._now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._ready.append(callback)

    call_threadsafe = call_soon

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> VirtualTimer:
        assert when_ns > self._now
        timer = VirtualTimer(when_ns, callback)
        self.timers.append(timer)
        return timer

    def settle(self) -> None:
        while self._ready:
            self.settle_once()

    def settle_once(self) -> None:
        """One round."""
        ready, self._ready = self._ready, []
        for callback in ready:
            callback()
        self._now += self.round_ns

    def pass_by(self, ns: int) -> None:
        """Time in which nothing else happens."""
        self._now += ns

    def advance(self, ms: float) -> None:
        end = self._now + int(ms * MS)
        self.settle()
        while due := [timer for timer in self.timers if timer.when_ns <= end and not timer.cancelled]:
            timer = min(due, key=lambda timer: timer.when_ns)
            self.timers.remove(timer)
            self._now = max(self._now, timer.when_ns)
            timer.callback()
            self.settle()
        self._now = end
        self.settle()
