"""How many requests may be at work; others wait for their turn."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Turn:
    """That of one request: `admit` is called when it comes, `refuse` when the wait for it got too long."""

    admit: Callable[[], None]
    refuse: Callable[[], None]
    admitted: bool = False
    timer: asyncio.TimerHandle | None = None


class ConcurrencyLimit:
    """Lets `most` requests work at a time (None: any number), first come, first served."""

    def __init__(self, most: int | None, queue_seconds: float) -> None:
        self._most = most
        self._queue_seconds = queue_seconds
        self._queue: deque[Turn] = deque()
        self.at_work = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def ask(self, turn: Turn) -> None:
        """Calls one of the turn's functions, now or later, unless it ends before."""
        if self._most is None or self.at_work < self._most:
            self.at_work += 1
            self._admit(turn)
        else:
            turn.timer = asyncio.get_running_loop().call_later(self._queue_seconds, self._refuse, turn)
            self._queue.append(turn)

    def end(self, turn: Turn) -> None:
        """The request is over, whether its turn had come or not; the one that waited longest is next."""
        if not turn.admitted:
            self._withdraw(turn)
        elif self._queue:
            self._admit(self._queue.popleft())
        else:
            self.at_work -= 1

    def _admit(self, turn: Turn) -> None:
        if turn.timer is not None:
            turn.timer.cancel()
        turn.admitted = True
        turn.admit()

    def _withdraw(self, turn: Turn) -> None:
        if turn.timer is not None:
            turn.timer.cancel()
        if turn in self._queue:
            self._queue.remove(turn)

    def _refuse(self, turn: Turn) -> None:
        self._queue.remove(turn)
        turn.refuse()
