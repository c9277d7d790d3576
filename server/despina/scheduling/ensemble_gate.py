"""How many unanswered requests a step of an ensemble may have (`max_inflight_requests`)."""

from collections import deque
from collections.abc import Callable


class Gate:
    """Lets `limit` requests of a step through at a time; the others wait in order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._waiting: deque[Callable[[], bool]] = deque()
        self._opening = False

    def enter(self, send: Callable[[], bool]) -> None:
        """Call `send` when there is room. It returns whether it sent anything that will leave again."""
        self._waiting.append(send)
        self._open()

    def leave(self) -> None:
        self._inside -= 1
        self._open()

    def _open(self) -> None:
        if self._opening:
            return  # What is sent may be answered at once and leave: the loop that sent it goes on with the next.
        self._opening = True
        try:
            while self._waiting and self._inside < self._limit:
                self._inside += 1
                if not self._waiting.popleft()():
                    self._inside -= 1
        finally:
            self._opening = False
