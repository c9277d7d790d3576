"""Whether a body that was announced still comes."""

import asyncio
from collections.abc import Callable


class BodyWatch:
    """Calls `stalled` when nothing came for so long. Its timer is set anew only when it goes off: bytes come often."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stalled: Callable[[], None]) -> None:
        self._loop = loop
        self._stalled = stalled
        self._timer: asyncio.TimerHandle | None = None
        self._end = 0.0

    def came(self, seconds: float) -> None:
        """Something came, and more is to come within `seconds`."""
        self._end = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def stop(self) -> None:
        """Nothing is to come, or nothing can, because we do not read."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left = self._end - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._stalled()
