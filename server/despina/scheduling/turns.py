"""When a scheduler looks at everything again."""

from collections.abc import Callable

from despina.scheduling.clock import Clock, Timer


class Turns:
    """Calls `turn` once everything that is ready has been read, or at a time: once for all who asked since the last one
    began. `turn` begins by setting `asked` to False (a call around it would cost more than all of this)."""

    def __init__(self, clock: Clock, turn: Callable[[], None]) -> None:
        self.asked = False
        self._clock = clock
        self._turn = turn
        self._timer: Timer | None = None
        self._timer_ns = 0

    def ask(self) -> None:
        """Look at everything again, soon."""
        if not self.asked:
            self.asked = True
            self._clock.call_soon(self._turn)

    def ask_at(self, *times_ns: int) -> None:
        """Look again at the earliest of these times; 0 is none. A timer that is set too early is left alone: it comes
        at the cost of a turn, and most are never needed."""
        for when_ns in times_ns:
            if when_ns and (self._timer is None or when_ns < self._timer_ns):
                self.close()
                self._timer_ns = when_ns
                self._timer = self._clock.call_at(when_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.ask()

    def close(self) -> None:
        """Leave no timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
