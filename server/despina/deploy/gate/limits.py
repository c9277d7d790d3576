"""How many requests may be at work, and how long others may wait for a place."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateLimits:
    """None is "no limit". Times in seconds, bodies in bytes.

    `idle_seconds` is how long a connection may rest between requests, and a body or an answer on its way.
    """

    concurrent: int | None = None
    queue_seconds: float = 0.5
    answer_seconds: float | None = None
    body_bytes: int = 1 << 30
    idle_seconds: float = 75.0


@dataclass(slots=True, eq=False)
class Waiting:
    """One request that waits for a place; exactly one of the two is called."""

    admit: Callable[[], None]
    refuse: Callable[[], None]
    timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Places:
    """Places at work, given out first come, first served."""

    def __init__(self, concurrent: int | None, queue_seconds: float) -> None:
        self._concurrent = concurrent
        self._queue_seconds = queue_seconds
        self._queue: deque[Waiting] = deque()
        self.taken = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def ask(self, admit: Callable[[], None], refuse: Callable[[], None]) -> Waiting | None:
        """Calls `admit` now, or later, or `refuse` when the wait got too long. Returns what `withdraw` needs."""
        if self._concurrent is None or self.taken < self._concurrent:
            self.taken += 1
            admit()
            return None
        waiting = Waiting(admit, refuse)
        waiting.timer = asyncio.get_running_loop().call_later(self._queue_seconds, self._refuse, waiting)
        self._queue.append(waiting)
        return waiting

    def leave(self) -> None:
        """Gives a place back; the one who waited longest gets it."""
        if self._queue:
            waiting = self._queue.popleft()
            waiting.stop_timer()
            waiting.admit()
        else:
            self.taken -= 1

    def withdraw(self, waiting: Waiting) -> None:
        """A client went away while it waited."""
        waiting.stop_timer()
        if waiting in self._queue:
            self._queue.remove(waiting)

    def _refuse(self, waiting: Waiting) -> None:
        self._queue.remove(waiting)
        waiting.refuse()
