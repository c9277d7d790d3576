"""A connection on which requests are answered one after another, and what came too early is kept until its turn."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from despina.errors import DespinaError, InvalidArgument
from despina.http.body_budget import BodyBudget
from despina.http.collecting_connection import CollectingConnection
from despina.http.compression import IN_THREAD_SIZE
from despina.http.infer_exchange import InferReply, compressed, error_reply
from despina.http.open_files import OpenFiles
from despina.http.read_requests import ReadRequests
from despina.http.reply_head import reply_head
from despina.http.request_head import RequestHeads
from despina.scheduling.outbox import Outbox

if TYPE_CHECKING:
    from despina.server import Server

_log = logging.getLogger(__name__)

JOIN_LIMIT = 64 * 1024
"""Replies up to this size are joined and written at once; in larger ones the tensors are written as they are."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What all connections share. Without a budget, bodies take what memory they like. Small replies leave by the
    `outbox`."""

    server: Server
    heads: RequestHeads
    budget: BodyBudget | None = None
    outbox: Outbox = field(default_factory=Outbox)
    open_files: OpenFiles = field(default_factory=OpenFiles)
    reads: ReadRequests | None = None


class Exchange(Protocol):
    """A request that is under way."""

    def abandon(self) -> None:
        """The client hung up."""
        ...


class AnsweringConnection(CollectingConnection, ABC):
    """One connection. While a request is being answered it is the `_exchange`, and the `_backlog` is what came behind
    it. `_connection` is what answers say of the connection, `_encoding` what the answer under way is compressed as."""

    def __init__(self, *args: Any, lane: Lane, **options: Any) -> None:
        super().__init__(*args, budget=lane.budget, **options)
        self._lane = lane
        self._exchange: Exchange | None = None
        self._backlog = b""
        self._connection = ""
        self._encoding = ""

    # -------------------------------------------------------------------------------------------- what came too early

    def _keep(self, data: bytes) -> None:
        self._backlog += data
        self.flow.pause_reading()

    def _go_on(self) -> None:
        """Take up what arrived while the last request was being answered."""
        if self._exchange is None and not self._in_application and not self.transport.is_closing():
            data, self._backlog = self._backlog, b""
            self.flow.resume_reading()
            if data:
                self.data_received(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._backlog:
            self.loop.call_soon(self._go_on)

    # ------------------------------------------------------------------------------------------------------- answers

    def _replied(self, reply: InferReply) -> None:
        if self._encoding and reply.status == 200:
            self._compress(reply)
            return
        self._exchange = None
        if not self.transport.is_closing():
            self._send(reply)

    def _compress(self, reply: InferReply) -> None:
        """A small reply at once, a large one in a thread, so that nobody waits for it."""
        if reply.size < IN_THREAD_SIZE:
            self._finish(compressed(reply, self._encoding))
            return
        try:
            compressing = self.loop.run_in_executor(None, compressed, reply, self._encoding)
        except RuntimeError as error:
            # No thread any more at the end of the server, or not one more. Nobody has to compress an answer.
            _log.warning("an answer of %d bytes is not compressed: %s", reply.size, error)
            self._finish(reply)
        else:
            compressing.add_done_callback(lambda done: self._finish(done.result()))

    def _finish(self, reply: InferReply) -> None:
        self._exchange = None
        if not self.transport.is_closing():
            self._send(reply)

    def _send(self, reply: InferReply) -> None:
        self.server_state.total_requests += 1
        if reply.size <= JOIN_LIMIT and not self._connection:
            self._lane.outbox.put(self.transport, b"".join((reply_head(reply), *reply.buffers)))
        else:
            head = reply_head(reply, self._connection)
            self.transport.writelines([head, *(memoryview(buffer).cast("B") for buffer in reply.buffers)])
        if self._connection == "close":
            if self._backlog or reply.status != 200:
                self.transport.close()
            else:
                self._lingering.close_clean()
        elif self._backlog:
            self.loop.call_soon(self._go_on)

    def _send_last(self, error: DespinaError) -> None:
        self._connection = "close"
        self._send(error_reply(error))

    # ---------------------------------------------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._lane.open_files.connected(transport)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and hang up."""
        self._give_up()
        if not self.transport.is_closing():
            self._send_last(InvalidArgument(self.why_refused(msg)))

    def eof_received(self) -> None:
        self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up()
        if self._exchange is not None:
            self._exchange.abandon()
        self._drop_body()
        self._backlog = b""
        super().connection_lost(exc)

    def take_leave(self, on_gone: Callable[[], None]) -> None:
        super().take_leave(on_gone)
        self._connection = "close"

    def shutdown(self) -> None:
        """Close the connection now if it is idle, else after the answer that is under way."""
        if self._exchange is not None or self._body is not None:
            self._connection = "close"
        else:
            super().shutdown()
