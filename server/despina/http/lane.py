"""The infer lane: infer requests answered straight from the socket callbacks.

uvicorn lets a server name its own HTTP protocol class. This one looks at every request first: a plain infer request is
decoded, scheduled and answered right here, without an ASGI scope, a task or a future; everything else goes on to
uvicorn's own protocol and the application, which answer the same requests the same way, only slower.

A connection is in one of four states, and requests on it are served one after another:

    idle        the next bytes begin a request
    collecting  a body is arriving: `_body` has room for all of it
    answering   an exchange is under way; what arrives meanwhile is kept in `_backlog`, with reading paused
    application uvicorn's protocol owns the connection until its response is complete

A large body does not come through here piece by piece: its transport is switched to a `BodyReceiver`, so that the
kernel copies it straight to where it will be read from.
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
from despina.http.infer import InferExchange, InferReply, error_reply
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
    """What all connections share."""

    server: Server
    heads: RequestHeads


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
        self._exchange: InferExchange | None = None
        self._backlog = b""
        self._closing = False
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
        missing = head.size + head.content_length - len(data)
        if missing < LARGE_BODY or self.scheme != "http":
            self._body += memoryview(data)[head.size :]
            return
        room = self._room(head.content_length)
        receiver = BodyReceiver(self, self.transport, room, memoryview(data)[head.size :])
        self.transport.pause_reading()
        self.transport.set_protocol(receiver)
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
        self._exchange_body(head, body)

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

    # -------------------------------------------------------------------------------------------- the connection

    def eof_received(self) -> None:
        self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up()
        if self._exchange is not None:
            self._exchange.abandon()
        self._body = None
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


class BodyReceiver(asyncio.BufferedProtocol):
    """Receives the rest of one body into `room`, which has its full length, then gives the connection back."""

    def __init__(self, lane: InferLane, transport: asyncio.Transport, room: memoryview, begun: memoryview) -> None:
        self._lane = lane
        self._transport = transport
        self._view = room
        self._filled = len(begun)
        self._view[: self._filled] = begun

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled == len(self._view):
            self._transport.set_protocol(self._lane)
            self._lane.body_complete(self._view)

    def eof_received(self) -> None:
        self._lane.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lane.connection_lost(exc)

    def pause_writing(self) -> None:
        self._lane.pause_writing()

    def resume_writing(self) -> None:
        self._lane.resume_writing()


_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 500: b"Internal Server Error"}


def reply_head(reply: InferReply, size: int, closing: bool) -> bytes:
    """Status line and headers of a reply."""
    if reply.status == 200 and not closing:
        if reply.header_length:
            return (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                b"inference-header-content-length: %d\r\ncontent-length: %d\r\n\r\n" % (reply.header_length, size)
            )
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
    lines = [b"HTTP/1.1 %d %s" % (reply.status, _REASONS.get(reply.status, b""))]
    lines.append(b"content-type: application/" + (b"octet-stream" if reply.header_length else b"json"))
    if reply.header_length:
        lines.append(b"inference-header-content-length: %d" % reply.header_length)
    if reply.retry_after is not None:
        lines.append(b"retry-after: %d" % max(1, round(reply.retry_after)))
    if closing:
        lines.append(b"connection: close")
    lines.append(b"content-length: %d\r\n\r\n" % size)
    return b"\r\n".join(lines)
