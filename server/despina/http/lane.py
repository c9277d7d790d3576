"""The infer lane: infer requests answered straight from the socket callbacks.

uvicorn lets a server name its own HTTP protocol class. This one looks at every request first: a plain infer request is
decoded, scheduled and answered right here, without an ASGI scope, a task or a future; everything else goes on to
uvicorn's own protocol and the application, which answer the same requests the same way, only slower.

A connection is in one of four states, and requests on it are served one after another:

    idle        the next bytes begin a request
    collecting  a body is arriving, or waits for room to arrive in (`CollectingConnection`)
    answering   an exchange is under way; what arrives meanwhile is kept in `_backlog`, with reading paused
    application uvicorn's protocol owns the connection until its response is complete (`ApplicationConnection`)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

from uvicorn.config import Config
from uvicorn.server import ServerState

from despina.errors import DespinaError, InvalidArgument
from despina.http.beginning import Beginning
from despina.http.body_budget import BodyBudget
from despina.http.collecting_connection import CollectingConnection
from despina.http.compression import decompress_small
from despina.http.infer_exchange import InferExchange, InferReply, error_reply
from despina.http.open_files import OpenFiles
from despina.http.read_requests import ReadRequests
from despina.http.reply_compression import compress_reply
from despina.http.reply_head import reply_head
from despina.http.request_head import HEAD_END, InferHead, RequestHeads, SplitHead
from despina.scheduling.outbox import Outbox

if TYPE_CHECKING:
    from despina.server import Server

_log = logging.getLogger(__name__)
_package_log = logging.getLogger("despina")
"""Asking its level takes a fifth of what asking `_log` takes."""

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


def log_request(model: str) -> None:
    """Log that there is an infer request, wherever it came from."""
    _log.debug("HTTP request: POST /v2/models/%s/infer", model)


class InferLane(CollectingConnection):
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
        super().__init__(config, server_state, app_state, _loop, budget=lane.budget)
        self._lane = lane
        self._exchange: Exchange | None = None
        self._backlog = b""
        self._connection = ""
        self._encoding = ""
        self._last: Beginning | None = None
        self._packed_head = b""
        """The head of the last request with a compressed body, for the application if that has to see it."""
        self._split_head: SplitHead | None = None

    # ----------------------------------------------------------------------------------------------- what arrives

    def data_received(self, data: bytes) -> None:
        if self._in_application:
            super().data_received(data if self._split_head is None else self._split_head.feed(data))
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
        last = self._last
        if last is not None and len(data) == last.size and data.startswith(last.text):
            start = len(last.text)
        else:
            start = self._begin_otherwise(data)
            if not start:
                return
            last = self._last
            assert last is not None
        self._take_up(last.head)
        exchange = self._open(last.head)
        if exchange is not None and (
            exchange.model is not last.model() or not exchange.start_like(last.template, data, start)
        ):
            self._last = None
            self._start(exchange, last.head, data)

    def _begin_otherwise(self, data: bytes) -> int:
        """Take up a request that does not begin like the last one; 0. If it is like that one but for its head, nothing
        is done, and the answer is where its tensors begin."""
        end = data.find(HEAD_END)
        size = end + len(HEAD_END)
        head = self._lane.heads.find(data[:size]) if end >= 0 else None
        if head is None:
            if end < 0 or size < len(data) or not self._answer_read(data):
                self._split_head = SplitHead()
                super().data_received(self._split_head.feed(data))
            return 0
        body_end = size + head.content_length
        last = self._last
        if last is not None and last.head is head and len(data) == body_end:
            text = last.template.fixed[0]
            if data.startswith(text, size):
                return size + len(text)
        self._take_up(head)
        if head.packed:
            self._packed_head = data[:size]
        if len(data) < body_end:
            self._expect(head, data, size)
            return 0
        if len(data) > body_end:
            self._keep(data[body_end:])
        self._exchange_whole(head, data[:body_end])
        return 0

    def _answer_read(self, request: bytes) -> bool:
        """Answer a request that only reads, if it is one. Lines of the log and last answers are the application's."""
        reads = self._lane.reads
        if reads is None or self._connection or _package_log.level <= logging.DEBUG:
            return False
        answer = reads.answer(request)
        if answer is None:
            return False
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self.server_state.total_requests += 1
        self._lane.outbox.put(self.transport, answer)
        return True

    def on_headers_complete(self) -> None:
        self._split_head = None
        super().on_headers_complete()

    def _take_up(self, head: InferHead) -> None:
        """A request has begun."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._encoding = head.encoding
        if head.connection and self._on_gone is None:
            self._connection = head.connection

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

    def _exchange_whole(self, head: InferHead, data: bytes) -> None:
        """Exchange a request that came in one piece."""
        if head.packed:
            self._exchange_body(head, _body(head, data))
            return
        exchange = self._open(head)
        if exchange is not None:
            self._start(exchange, head, data)

    def _start(self, exchange: InferExchange, head: InferHead, data: bytes) -> None:
        template = exchange.start(_body(head, data), head.header_length)
        if template is not None and self._connection != "close":
            text = data[: len(data) - head.content_length + len(template.fixed[0])]
            self._last = Beginning(text, len(data), head, ref(exchange.model), template)

    def _exchange_body(self, head: InferHead, body: memoryview, chunks: memoryview | None = None) -> None:
        received_ns, self._received_ns = self._received_ns, 0
        plain = decompress_small(body, self._lane.server.limits.max_input_size) if head.packed else body
        if plain is None:
            self._hand_over(self._packed_head, body)
            return
        exchange = self._open(head, body if chunks is None else chunks)
        if exchange is not None:
            exchange.start(memoryview(plain), head.header_length, received_ns)

    def _hand_over(self, *request: bytes | bytearray | memoryview) -> None:
        """Let the application have a request that this lane took, and what came after it."""
        self._exchange = None
        if self.transport.is_closing():
            return
        data = b"".join((*request, self._backlog))
        self._backlog = b""
        self.flow.resume_reading()
        super().data_received(data)
        if self._connection == "close":
            super().shutdown()

    def _has_model(self, head: InferHead) -> bool:
        try:
            self._lane.server.models.get(head.model, head.version)
        except DespinaError:
            return False
        return True

    def _open(self, head: InferHead, body: memoryview | None = None) -> InferExchange | None:
        """The exchange of a request, or None when it has gone elsewhere. `body`, as it came, if that came in more
        pieces."""
        if _package_log.level <= logging.DEBUG:
            log_request(head.model)
        server = self._lane.server
        try:
            model = server.models.get(head.model, head.version)
        except DespinaError as error:
            self._send(error_reply(error))
            return None
        self._exchange = exchange = InferExchange(server, model, self._replied, client=self)
        return exchange

    def _replied(self, reply: InferReply) -> None:
        if self._encoding and reply.status == 200:
            compress_reply(self.loop, reply, self._encoding, self._finish)
            return
        self._exchange = None
        if not self.transport.is_closing():
            self._send(reply)

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

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._backlog:
            self.loop.call_soon(self._go_on)

    def take_leave(self, on_gone: Callable[[], None]) -> None:
        super().take_leave(on_gone)
        self._connection = "close"

    def shutdown(self) -> None:
        """Close the connection now if it is idle, else after the answer that is under way."""
        if self._exchange is not None or self._body is not None:
            self._connection = "close"
        else:
            super().shutdown()


def _body(head: InferHead, request: bytes) -> memoryview:
    return memoryview(request)[len(request) - head.content_length :]
