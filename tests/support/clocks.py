from collections.abc import Callable

from despina.http.body_budget import PATIENCE_NS


class Timer:
    def __init__(self, when_ns: int, callback: Callable[[], None]) -> None:
        self.when_ns = when_ns
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """Time passes only by `advance`."""

    def __init__(self) -> None:
        self._now_ns = 1_000_000_000_000
        self.timers: list[Timer] = []

    def now_ns(self) -> int:
        return self._now_ns

    def call_soon(self, callback: Callable[[], None]) -> None:
        raise AssertionError("not needed here")

    call_threadsafe = call_soon

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        assert when_ns > self._now_ns
        self.timers.append(timer := Timer(when_ns, callback))
        return timer

    def advance(self, patience: float) -> None:
        """Let so many times the patience of the budget pass."""
        end_ns = self._now_ns + round(patience * PATIENCE_NS)
        while due := [timer for timer in self.timers if timer.when_ns <= end_ns and not timer.cancelled]:
            first = min(due, key=lambda timer: timer.when_ns)
            self.timers.remove(first)
            self._now_ns = first.when_ns
            first.callback()
        self._now_ns = end_ns
