"""The infer lane: infer requests answered straight from the socket callbacks.

uvicorn lets a server name its own HTTP protocol class. This one looks at every request first: a plain infer request is
decoded, scheduled and answered right here, without an ASGI scope, a task or a future; everything else goes on to
uvicorn's own protocol and the application, which answer the same requests the same way, only slower.

A connection is in one of four states, and requests on it are served one after another:

    idle        the next bytes begin a request
    collecting  a body is arriving, or waits for room to arrive in: `_body` has what came through here
    answering   an exchange is under way; what arrives meanwhile is kept in `_backlog`, with reading paused
    application uvicorn's protocol owns the connection until its response is complete

A large body does not come through here piece by piece: its transport is switched to a `BodyReceiver`, so that the
kernel copies it straight to where it will be read from. It claims its room first (`body_budget`), and where there is
none the connection is not read until there is.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import numpy as np
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from despina.errors import DespinaError, InvalidArgument
from despina.http.application_connection import ApplicationConnection
from despina.http.body_budget import SMALLEST_CLAIM, BodyBudget, Claim, too_slow
from despina.http.body_receiver import BodyReceiver
from despina.http.compression import IN_THREAD_SIZE
from despina.http.infer import InferExchange, InferReply, compressed, error_reply
from despina.http.reply_head import reply_head
from despina.http.request_head import InferHead, RequestHeads, without_upgrade

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

    from despina.server import Server

_log = logging.getLogger(__name__)

LARGE_BODY = 64 * 1024
"""Bodies with at least so many bytes still to come are received by a BodyReceiver."""

JOIN_LIMIT = 64 * 1024
"""Replies up to this size are joined and written at once; in larger ones the tensors are written as they are."""

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Lane:
    """What all connections share. Without a budget, bodies take what memory they like."""

    server: Server
    heads: RequestHeads
    budget: BodyBudget | None = None


class InferLane(ApplicationConnection):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        lane: Lane,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lane = lane
        self._in_application = False
        self._message_open = False
        self._cycle_under_way: RequestResponseCycle | None = None
        self._head: InferHead | None = None
        self._body: bytearray | None = None
        self._receiver: BodyReceiver | None = None
        self._claim: Claim | None = None
        self._exchange: InferExchange | None = None
        self._backlog = b""
        self._closing = False
        self._encoding = ""
        self._received_ns = 0

    # ----------------------------------------------------------------------------------------------- what arrives

    def data_received(self, data: bytes) -> None:
        if self._in_application:
            super().data_received(data)
        elif self._exchange is not None:
            self._keep(data)
        elif self._body is not None:
            self._collect(data)
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        if self.flow.write_paused:
            self._keep(data)
            return
        end = data.find(_HEAD_END)
        head = self._lane.heads.find(data[: end + 4]) if end >= 0 else None
        if head is None:
            super().data_received(without_upgrade(data[:end]) + data[end:] if end >= 0 else data)
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._encoding = head.encoding
        body_end = head.size + head.content_length
        if len(data) < body_end:
            self._expect(head, data)
            return
        if len(data) > body_end:
            self._keep(data[body_end:])
        self._exchange_body(head, memoryview(data)[head.size : body_end])

    def _expect(self, head: InferHead, data: bytes) -> None:
        """Make room for a body of which only a part has come."""
        self._received_ns = monotonic_ns()
        self._head = head
        self._body = bytearray()
        begun = memoryview(data)[head.size :]
        budget = self._lane.budget
        if budget is not None and head.content_length >= SMALLEST_CLAIM:
            self._claim = claim = budget.claim(self, head.content_length)
            if claim.waiting:
                self._body += begun
                self.transport.pause_reading()
                return
        if head.content_length - len(begun) < LARGE_BODY or self.scheme != "http":
            self._body += begun
        else:
            self.transport.pause_reading()
            self._receive(head.content_length, begun)

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

    def _receive(self, size: int, begun: memoryview | bytearray) -> None:
        """Let a BodyReceiver have the connection, of which nothing is read at the moment."""
        self._receiver = BodyReceiver(self, self.transport, self._room(size), begun)
        self.transport.set_protocol(self._receiver)
        self.transport.resume_reading()

    def _room(self, size: int) -> memoryview:
        """Memory for a large body."""
        return np.empty(size, np.uint8).data  # unlike a bytearray, not filled with zeros first

    def _collect(self, data: bytes) -> None:
        head, body = self._head, self._body
        assert head is not None
        assert body is not None
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

    def _give_back(self) -> None:
        """The body is where other limits count, or will never come."""
        claim, budget = self._claim, self._lane.budget
        if claim is not None and budget is not None:
            self._claim = None
            budget.give_back(claim)

    @property
    def arrived(self) -> int:
        """Implements `Sender`."""
        if self._receiver is not None:
            return self._receiver.filled
        return len(self._body) if self._body is not None else 0

    def room_revoked(self) -> None:
        """Implements `Sender`: answer that this took too long, and hang up."""
        head = self._head
        if head is None or self.transport.is_closing():
            return
        refusal = too_slow(self.arrived, head.content_length)
        if self._receiver is not None:
            self.transport.set_protocol(self)
        self._drop_body()
        self._closing = True
        self._send(error_reply(refusal))

    def _drop_body(self) -> None:
        """The rest of the body is not waited for."""
        self._head = None
        self._body = None
        self._receiver = None
        self._give_back()

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

    # --------------------------------------------------------------------------------------------------- exchanges

    def _exchange_body(self, head: InferHead, body: memoryview) -> None:
        _log.debug("HTTP request: POST /v2/models/%s/infer", head.model)
        server = self._lane.server
        try:
            model = server.models.get(head.model, head.version)
        except DespinaError as error:
            self._send(error_reply(error))
            return
        self._exchange = exchange = InferExchange(server, model, self._replied)
        exchange.start(body, head.header_length, self._received_ns)
        self._received_ns = 0

    def _replied(self, reply: InferReply) -> None:
        if not self._encoding or reply.status != 200:
            self._finish(reply)
        elif reply.size < IN_THREAD_SIZE:
            self._finish(compressed(reply, self._encoding))
        else:
            compressing = self.loop.run_in_executor(None, compressed, reply, self._encoding)
            compressing.add_done_callback(lambda done: self._finish(done.result()))

    def _finish(self, reply: InferReply) -> None:
        self._exchange = None
        if not self.transport.is_closing():
            self._send(reply)

    def _send(self, reply: InferReply) -> None:
        self.server_state.total_requests += 1
        size = reply.size
        head = reply_head(reply, size, self._closing)
        if size <= JOIN_LIMIT:
            self.transport.write(b"".join((head, *reply.buffers)))
        else:
            self.transport.writelines([head, *(memoryview(buffer).cast("B") for buffer in reply.buffers)])
        if self._closing:
            self.transport.close()
        elif self._backlog:
            self.loop.call_soon(self._go_on)

    # -------------------------------------------------------------------------------------- the application's turn

    def on_message_begin(self) -> None:
        self._in_application = True
        self._message_open = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._message_open = False
        self._leave_application()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._leave_application()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._cycle_under_way = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and hang up."""
        self._give_up()
        self._closing = True
        if not self.transport.is_closing():
            self._send(error_reply(InvalidArgument(self.why_refused(msg))))

    def _give_up(self) -> None:
        """The application must not write any more. uvicorn tells only the youngest of several requests on a connection,
        and tells it only when the transport has been closed for a while."""
        for cycle in (self._cycle_under_way, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def _leave_application(self) -> None:
        if not self._message_open and not self.pipeline and self.cycle is not None and self.cycle.response_complete:
            self._in_application = False
            if self._claim is not None:
                self._give_back()

    # -------------------------------------------------------------------------------------------- the connection

    def eof_received(self) -> None:
        self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up()
        if self._exchange is not None:
            self._exchange.abandon()
        self._drop_body()
        self._backlog = b""
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._backlog:
            self.loop.call_soon(self._go_on)

    def shutdown(self) -> None:
        """Close the connection now if it is idle, else after the answer that is under way."""
        if self._exchange is not None or self._body is not None:
            self._closing = True
        else:
            super().shutdown()
