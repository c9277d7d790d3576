"""The owner's side of infer requests that a front end passes on as they came."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from despina.errors import Unavailable
from despina.http.infer_exchange import InferExchange, InferReply, error_reply
from despina.http.lane import log_request
from despina.http.workers import messages
from despina.http.workers.arena import COPIED_SIZE, Arena
from despina.http.workers.messages import Frame, Write
from despina.protocol.encode import Buffer
from despina.protocol.json import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from despina.models.model import Model
    from despina.server import Server

_package_log = logging.getLogger("despina")


class OwnerExchanges:
    """Answers such requests as the lane of a single process would. Large bodies lie in the arena `requests`, large
    replies go through `results`."""

    def __init__(self, server: Server, requests: Arena, results: Arena, write: Write) -> None:
        self._server = server
        self._requests = requests
        self._results = results
        self._write: Write | None = write
        self._under_way: dict[int, InferExchange] = {}

    def start(self, sent: Frame) -> None:
        """Take a request; its reply follows."""
        name, version, header_length, size = loads(sent.extra)
        if _package_log.level <= logging.DEBUG:
            log_request(name)
        reply = partial(self._reply, sent.number)
        try:
            model = self._server.models.get(name, version)
            body = sent.body if size <= COPIED_SIZE else self._body(model, sent.offset, size)
        except Exception as error:
            reply(error_reply(error))
            return
        self._under_way[sent.number] = exchange = InferExchange(self._server, model, reply)
        exchange.start(memoryview(body), header_length)

    def _body(self, model: Model, place: int, size: int) -> bytes | memoryview:
        """A large body. It stays where it is, unless somebody may look at it when the front end has other use for the
        room: a step of an ensemble, the response cache, or who has the state of a sequence."""
        outlived = model.answers_early or model.config.HasField("sequence_batching")
        body = memoryview(self._requests.memory)[place : place + size]
        return bytes(body) if outlived else body

    def abandon(self, number: int) -> None:
        """The client hung up."""
        exchange = self._under_way.get(number)
        if exchange is not None:
            exchange.abandon()

    def abandon_all(self) -> None:
        """The front end is gone, and so are its clients."""
        # With it goes the channel, and with that the arenas, for which nobody has to wait.
        self._write = None
        for exchange in list(self._under_way.values()):
            exchange.abandon()

    def _reply(self, number: int, reply: InferReply) -> None:
        self._under_way.pop(number, None)
        if self._write is None:
            return
        offset = 0
        if reply.size > COPIED_SIZE:
            try:
                offset = self._put(reply.buffers, reply.size)
            except Unavailable as error:
                reply = error_reply(error)
        head = dumps([reply.status, reply.header_length, reply.retry_after, reply.size])
        body = b"".join(reply.buffers) if reply.size <= COPIED_SIZE else b""
        self._write(messages.REPLY, number, offset, head, body)

    def _put(self, buffers: Sequence[Buffer], size: int) -> int:
        """Copy them to a new slot, one behind the other; its offset."""
        offset = begin = self._results.take(size)
        for buffer in buffers:
            data = memoryview(buffer).cast("B")
            self._results.memory[begin : begin + len(data)] = data
            begin += len(data)
        return offset
