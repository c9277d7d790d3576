"""The infer lane of a front end: it answers what it can. Other infer requests it passes on to its owner, and all others
it gives to the application, which relays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from despina.errors import DespinaError, Unavailable
from despina.http.answering_connection import Lane
from despina.http.collecting_connection import LARGE_BODY
from despina.http.infer_exchange import InferExchange, InferReply
from despina.http.lane import InferLane
from despina.http.request_head import CHUNKED, HEAD_END, InferHead
from despina.http.workers.remote_model import Elsewhere, RemoteModel
from despina.protocol.decode import Limits, no_shared_memory
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.http.workers.front_channel import FrontChannel

_log = logging.getLogger(__name__)
_package_log = logging.getLogger("despina")

_OWNERS = (b'"shared_memory_region":', b'"classification":', b'"despina_explain":')
"""A request with one of these in its JSON is for the owner, most probably, and not decoded to be sure."""


class FrontServer:
    """As much of a server as the exchange of a request looks at."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.find_region = no_shared_memory


class FrontExchange(InferExchange):
    """An exchange that can be given up: `elsewhere` is then called in place of `reply`. What is wrong with a request is
    not said here: by now the owner may have another model, or none, and then that is what has to be said. What goes
    wrong in this process is said here: the owner would not know of it."""

    __slots__ = ("_elsewhere",)

    def __init__(
        self,
        server: Any,
        model: RemoteModel,
        reply: Callable[[InferReply], None],
        elsewhere: Callable[[], None],
    ) -> None:
        super().__init__(server, model, reply)  # type: ignore[arg-type]
        self._elsewhere = elsewhere

    def _start_decoding(self, body: memoryview, length: int) -> None:
        if length < LARGE_BODY:
            text = bytes(body[:length])
            if any(key in text for key in _OWNERS):
                raise Elsewhere
        super()._start_decoding(body, length)

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, (DespinaError, Elsewhere)):
            self._elsewhere()
        else:
            super()._refuse(error)

    def _done(self, pending: Pending) -> None:
        if isinstance(pending.error, Elsewhere):
            self._elsewhere()
        else:
            super()._done(pending)


class FrontLane(InferLane):
    """One connection."""

    def __init__(self, *args: Any, lane: Lane, channel: FrontChannel, **options: Any) -> None:
        super().__init__(*args, lane=lane, **options)
        self._channel = channel
        self._begun = b""

    def _begin(self, data: bytes) -> None:
        self._begun = data
        super()._begin(data)

    def _room(self, size: int) -> memoryview:
        try:
            return self._channel.room(size)
        except Unavailable:
            return super()._room(size)

    def _has_model(self, head: InferHead) -> bool:
        return self._channel.model(head.model, head.version) is not None

    def _open(self, head: InferHead, body: memoryview | None = None) -> InferExchange | None:
        begun, self._begun = self._begun, b""
        elsewhere = partial(self._pass_on, head, begun, body)
        model = self._channel.model(head.model, head.version)
        if model is None or model.is_stateful:
            elsewhere()
            return None
        self._exchange = exchange = FrontExchange(self._lane.server, model, self._replied, elsewhere)
        return exchange

    def _pass_on(self, head: InferHead, begun: bytes, body: memoryview | None) -> None:
        """Let the owner have a request that began so, with its `body` if that came in more pieces."""
        if self.transport.is_closing():
            self._exchange = None
            return
        size = begun.find(HEAD_END) + len(HEAD_END)
        if body is None:
            body = memoryview(begun)[size : size + head.content_length]
        if not head.packed and head.content_length != CHUNKED:
            with suppress(Unavailable):
                self._exchange = self._channel.exchanges.start(head, body, self._replied)
                return
        self._hand_over(begun[:size], body)

    def _replied(self, reply: InferReply) -> None:
        # Only now: of a request that is passed on the owner says this.
        if _package_log.level <= logging.DEBUG and isinstance(self._exchange, FrontExchange):
            _log.debug("HTTP request: POST /v2/models/%s/infer", self._exchange.model.name)
        super()._replied(reply)
