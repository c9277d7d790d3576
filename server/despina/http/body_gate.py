"""Bodies that the application collects: they claim room like those of the lane, and the rest of them is read only then.

The application may use a body for as long as it answers (a compressed one is there twice), so the room is given back
with the answer.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from despina.errors import InvalidArgument
from despina.http.body_budget import SMALLEST_CLAIM, BodyBudget, Claim, too_slow
from despina.http.request_head import MAX_CONTENT_LENGTH
from despina.protocol.decode import content_length


class BodyGate:
    """An application whose bodies are kept within a budget."""

    def __init__(self, app: ASGIApp, budget: BodyBudget) -> None:
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(scope, receive, self._budget)
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.give_back()


class _Body:
    """One body. Implements `Sender`."""

    def __init__(self, scope: Scope, receive: Receive, budget: BodyBudget) -> None:
        self.arrived = 0
        self._scope = scope
        self._receive = receive
        self._budget = budget
        self._claim: Claim | None = None
        self._announced: int | None = None
        self._whole = False
        self._granted = asyncio.Event()
        self._reading: asyncio.Timeout | None = None

    async def receive(self) -> Message:
        """The next piece. Raises InvalidArgument for a body beyond all limits, RequestTimeout when its room is lost."""
        if self._claim is None or self._whole:
            message = await self._receive()
        else:
            message = await self._receive_watched()
        if not message.get("more_body", False):
            self._whole = True
        else:
            self.arrived += len(message["body"])
            if self.arrived >= SMALLEST_CLAIM:
                await self._make_room()
        return message

    async def _receive_watched(self) -> Message:
        try:
            async with asyncio.timeout(None) as self._reading:
                return await self._receive()
        except TimeoutError:
            raise too_slow(self.arrived, self._announced) from None
        finally:
            self._reading = None

    async def _make_room(self) -> None:
        if self.arrived > MAX_CONTENT_LENGTH:
            raise InvalidArgument(f"request body exceeds the maximum of {MAX_CONTENT_LENGTH} bytes. Send less at once.")
        if self._claim is None:
            self._announced = announced_length(self._scope)
            self._claim = claim = self._budget.claim(self, max(self.arrived, self._announced or 0))
        else:
            claim = self._claim
            if self.arrived > claim.wanted:
                self._budget.grow(claim, self.arrived + SMALLEST_CLAIM)
        if claim.waiting:
            self._granted.clear()
            await self._granted.wait()

    def room_granted(self) -> None:
        self._granted.set()

    def room_revoked(self) -> None:
        # If the application is not reading, nobody waits for this sender.
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())
            self._reading = None

    def give_back(self) -> None:
        """The request is answered, or will never be."""
        if self._claim is not None:
            self._budget.give_back(self._claim)
            self._claim = None


def announced_length(scope: Scope) -> int | None:
    """The Content-Length, unless the body is chunked. Raises InvalidArgument when it is out of range."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    length = headers.get(b"content-length")
    if length is None or b"transfer-encoding" in headers:
        return None
    return content_length(length.decode("latin-1"))
