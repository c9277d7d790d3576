"""How a connection is given up without losing a call (RFC 9113 §6.8).

The client is asked to send no more, which it hears some time later: what it has sent until then is still taken. By the
answer to a ping it is known that it has heard; then it is told which call was the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from despina.grpc.http2.frames import STREAM_IDS, ErrorCode, Kind, frame, goaway

QUESTION = b"goodbye?"
"""What is in the ping."""

PATIENCE_S = 0.5
"""So long a client may take to answer it."""


class Leave:
    """The leave of one connection. `write` takes what goes out, `last_stream` tells the last stream that was opened,
    `done` is called when no more of them are."""

    def __init__(
        self, write: Callable[[bytes], None], last_stream: Callable[[], int], done: Callable[[], None]
    ) -> None:
        self._write = write
        self._last_stream = last_stream
        self._done = done
        self._patience: asyncio.TimerHandle | None = None
        self._age: asyncio.TimerHandle | None = None
        self._asked = False
        self.taken = False
        """Whether further streams are refused."""

    def take(self) -> None:
        """Ask the client to send no more."""
        if not self._asked:
            self._asked = True
            self._write(goaway(STREAM_IDS, ErrorCode.NO_ERROR) + frame(Kind.PING, 0, 0, QUESTION))
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._end)

    def take_after(self, age_s: float, grace_s: float | None, abort: Callable[[], None]) -> None:
        """Do so when the connection is so old, and `abort` it after a grace, if there is one."""
        self._age = asyncio.get_running_loop().call_later(age_s, self._grow_old, grace_s, abort)

    def heard(self, ping: bytes) -> None:
        """The client has answered a ping."""
        if self._asked and ping == QUESTION:
            self._end()

    def cancel(self) -> None:
        """The connection is gone."""
        for timer in (self._patience, self._age):
            if timer is not None:
                timer.cancel()

    def _grow_old(self, grace_s: float | None, abort: Callable[[], None]) -> None:
        self.take()
        if grace_s is not None:
            self._age = asyncio.get_running_loop().call_later(grace_s, abort)

    def _end(self) -> None:
        if not self.taken:
            self.taken = True
            if self._patience is not None:
                self._patience.cancel()
            self._write(goaway(self._last_stream(), ErrorCode.NO_ERROR))
            self._done()
