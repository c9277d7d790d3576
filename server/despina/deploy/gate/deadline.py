"""A time limit that is put off again and again, as long as something comes."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `missed` when it is not put off in time. The timer is set anew only when it goes off: bytes come often."""

    def __init__(self, loop: asyncio.AbstractEventLoop, missed: Callable[[], None]) -> None:
        self._loop = loop
        self._missed = missed
        self._timer: asyncio.TimerHandle | None = None
        self._end = 0.0

    def put_off(self, seconds: float) -> None:
        """It is in `seconds` from now."""
        self._end = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def stop(self) -> None:
        """There is none until it is put off again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left = self._end - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._missed()
