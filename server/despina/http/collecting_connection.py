"""A connection on which a body arrives that did not come in one piece with its head.

A large body is not put together piece by piece: the transport is switched to a `BodyReceiver`, so that the kernel
copies it straight to where it will be read from. It claims its room first (`body_budget`), and where there is none the
connection is not read until there is.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import monotonic_ns
from typing import Any

import numpy as np
from uvicorn.config import Config
from uvicorn.server import ServerState

from despina.errors import DespinaError, Unavailable
from despina.http.application_connection import ApplicationConnection
from despina.http.body_budget import SMALLEST_CLAIM, BodyBudget, Claim, too_slow
from despina.http.body_receiver import BodyReceiver
from despina.http.chunks import Chunks
from despina.http.request_head import CHUNKED, InferHead

LARGE_BODY = 64 * 1024
"""Bodies with at least so many bytes still to come are received by a BodyReceiver."""


class CollectingConnection(ApplicationConnection, ABC):
    """One connection. Implements `Sender`. While a body is arriving, `_body` is what came through here of it; if it is
    chunked, of the whole request."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        budget: BodyBudget | None,
    ) -> None:
        """Without a budget, bodies take what memory they like."""
        super().__init__(config, server_state, app_state, _loop)
        self._budget = budget
        self._head: InferHead | None = None
        self._body: bytearray | None = None
        self._receiver: BodyReceiver | None = None
        self._claim: Claim | None = None
        self._body_chunks: Chunks | None = None
        self._received_ns = 0

    # ------------------------------------------------------------------------------- what a subclass does with a body

    @abstractmethod
    def _exchange_body(self, head: InferHead, body: memoryview, chunks: memoryview | None = None) -> None:
        """The body is whole. It came in `chunks`, if it did."""

    @abstractmethod
    def _has_model(self, head: InferHead) -> bool:
        """Whether the request has somebody to wait for its body."""

    @abstractmethod
    def _hand_over(self, *request: bytes | bytearray | memoryview) -> None:
        """This is for the application."""

    @abstractmethod
    def _keep(self, data: bytes) -> None:
        """This came behind the body."""

    @abstractmethod
    def _send_last(self, error: DespinaError) -> None:
        """Answer, and hang up."""

    # ----------------------------------------------------------------------------------------------------- collecting

    def _expect(self, head: InferHead, request: bytes, begin: int) -> None:
        """Make room for a body that has only begun to come. In the request it begins there; if it is chunked, all of it
        may be there."""
        if head.content_length == CHUNKED:
            self._expect_chunks(head, request, begin)
            return
        begun = memoryview(request)[begin:]
        self._received_ns = monotonic_ns()
        self._head = head
        self._body = bytearray()
        if self._budget is not None and head.content_length >= SMALLEST_CLAIM:
            self._claim = claim = self._budget.claim(self, head.content_length)
            if claim.waiting:
                self._body += begun
                self.transport.pause_reading()
                return
        if head.content_length - len(begun) < LARGE_BODY or self.scheme != "http":
            self._body += begun
        else:
            self.transport.pause_reading()
            self._receive(head.content_length, begun)

    def _receive(self, size: int, begun: memoryview | bytearray) -> None:
        """Let a BodyReceiver have the connection, of which nothing is read at the moment."""
        try:
            room = self._room(size)
        except MemoryError:
            self._drop_body()
            text = f"no memory for a request body of {size} bytes. Send less, or try again later."
            self._send_last(Unavailable(text))
            return
        self._receiver = BodyReceiver(self, self.transport, room, begun)
        self.transport.set_protocol(self._receiver)
        self.transport.resume_reading()

    def _room(self, size: int) -> memoryview:
        """Memory for a large body."""
        return np.empty(size, np.uint8).data  # unlike a bytearray, not filled with zeros first

    def _collect(self, data: bytes) -> None:
        head, body = self._head, self._body
        assert head is not None
        assert body is not None
        if self._body_chunks is not None:
            self._collect_chunks(head, body, self._body_chunks, data)
            return
        missing = head.content_length - len(body)
        if len(data) > missing:
            self._keep(data[missing:])
            data = data[:missing]
        body += data
        if len(body) == head.content_length:
            self.body_complete(memoryview(body))

    def body_complete(self, body: memoryview) -> None:
        """All of the announced body has arrived."""
        head = self._head
        assert head is not None
        self._head = None
        self._body = None
        self._receiver = None
        self._exchange_body(head, body)
        if self._claim is not None and not self._in_application:
            self._give_back()

    def _drop_body(self) -> None:
        """The rest of the body is not waited for."""
        self._head = None
        self._body = None
        self._body_chunks = None
        self._receiver = None
        self._give_back()

    # -------------------------------------------------------------------------------------------------------- chunks

    def _expect_chunks(self, head: InferHead, request: bytes, begin: int) -> None:
        """Take up a request with a chunked body, which begins there. Where there is no such model, the application
        answers before the body is whole."""
        chunks = Chunks(begin)
        usual = chunks.find(request)
        if usual and chunks.end:
            self._chunks_complete(head, request, chunks)
        elif usual and self._has_model(head):
            self._received_ns = monotonic_ns()
            self._head, self._body, self._body_chunks = head, bytearray(request), chunks
        else:
            self._hand_over(request)

    def _collect_chunks(self, head: InferHead, request: bytearray, chunks: Chunks, data: bytes) -> None:
        begun = len(request)
        request += data
        if not chunks.find(request):
            self._drop_body()
            self._received_ns = 0
            # One after the other, as they came: the parser's limits count what comes between its events.
            self._hand_over(request[:begun])
            self._hand_over(data)
        elif chunks.end:
            self._drop_body()
            self._chunks_complete(head, request, chunks)

    def _chunks_complete(self, head: InferHead, request: bytes | bytearray, chunks: Chunks) -> None:
        if len(request) > chunks.end:
            self._keep(bytes(request[chunks.end :]))
        self._exchange_body(head, chunks.body(request), memoryview(request)[chunks.begin : chunks.end])

    # ----------------------------------------------------------------------------------------------------------- room

    @property
    def arrived(self) -> int:
        """Implements `Sender`."""
        if self._receiver is not None:
            return self._receiver.filled
        return len(self._body) if self._body is not None else 0

    def room_granted(self) -> None:
        """Implements `Sender`: the claim of a body need not wait any more."""
        head, body = self._head, self._body
        assert head is not None
        assert body is not None
        if self.transport.is_closing():
            return  # the connection is about to be lost, and the claim with it
        if head.content_length - len(body) < LARGE_BODY or self.scheme != "http":
            self.transport.resume_reading()
        else:
            self._body = bytearray()
            self._receive(head.content_length, body)

    def room_revoked(self) -> None:
        """Implements `Sender`: answer that this took too long, and hang up."""
        head = self._head
        if head is None or self.transport.is_closing():
            return
        refusal = too_slow(self.arrived, head.content_length)
        if self._receiver is not None:
            self.transport.set_protocol(self)
        self._drop_body()
        self._send_last(refusal)

    def _give_back(self) -> None:
        """The body is where other limits count, or will never come."""
        claim, budget = self._claim, self._budget
        if claim is not None and budget is not None:
            self._claim = None
            budget.give_back(claim)

    def _leave_application(self) -> None:
        super()._leave_application()
        if self._claim is not None and not self._in_application:
            self._give_back()
