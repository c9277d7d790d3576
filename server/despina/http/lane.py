"""The infer lane: infer requests answered straight from the socket callbacks.

uvicorn lets a server name its own HTTP protocol class. This one looks at every request first: a plain infer request is
decoded, scheduled and answered right here, without an ASGI scope, a task or a future; everything else goes on to
uvicorn's own protocol and the application, which answer the same requests the same way, only slower.

A connection is in one of four states, and requests on it are served one after another:

    idle        the next bytes begin a request
    collecting  a body is arriving, or waits for room to arrive in (`CollectingConnection`)
    answering   an exchange is under way; what arrives meanwhile is kept (`AnsweringConnection`)
    application uvicorn's protocol owns the connection until its response is complete (`ApplicationConnection`)
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from despina.errors import DespinaError
from despina.http.answering_connection import AnsweringConnection, Lane
from despina.http.compression import decompress_small
from despina.http.infer_exchange import InferExchange, error_reply
from despina.http.request_head import HEAD_END, InferHead, SplitHead

if TYPE_CHECKING:
    from despina.http.request_template import RequestTemplate
    from despina.models.model import Model

_log = logging.getLogger(__name__)
_package_log = logging.getLogger("despina")
"""Asking its level takes a fifth of what asking `_log` takes."""


def log_request(model: str) -> None:
    """Log that there is an infer request, wherever it came from."""
    _log.debug("HTTP request: POST /v2/models/%s/infer", model)


@dataclass(frozen=True, slots=True)
class Beginning:
    """How the last request of a connection began, since clients send the same again and again: the `text` before the
    tensors of a request without an id, and what it came to. `size` is that of the request. An idle connection does not
    keep a model that is gone."""

    text: bytes
    size: int
    head: InferHead
    model: ref[Model]
    template: RequestTemplate


class InferLane(AnsweringConnection):
    """One connection."""

    def __init__(self, *args: Any, lane: Lane, **options: Any) -> None:
        super().__init__(*args, lane=lane, **options)
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


def _body(head: InferHead, request: bytes) -> memoryview:
    return memoryview(request)[len(request) - head.content_length :]
