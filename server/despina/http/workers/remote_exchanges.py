"""A front end's side of infer requests that it passes on to its owner as they came."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from despina.http.infer_exchange import InferReply
from despina.http.request_head import InferHead
from despina.http.workers import messages
from despina.http.workers.arena import CAPACITY, COPIED_SIZE, Arena
from despina.http.workers.messages import Frame, Write
from despina.protocol.encode import Buffer
from despina.protocol.json import dumps, loads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteExchange:
    """A request whose reply is waited for."""

    write: Write
    number: int

    def abandon(self) -> None:
        """The client hung up. There is a reply all the same."""
        self.write(messages.ABANDON, self.number)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """Who waits for a reply, and a large body, which is in use until then."""

    reply: Callable[[InferReply], None]
    body: memoryview | None


class RemoteExchanges:
    """Those that are under way. Large bodies lie in the arena `requests`, large replies in `results`, of which
    `release` gives a slot back."""

    def __init__(self, requests: Arena, results: Arena, write: Write, release: Callable[[int], None]) -> None:
        self._requests = requests
        self._results = results
        self._write = write
        self._release = release
        self._numbers = itertools.count()
        self._under_way: dict[int, _UnderWay] = {}

    def start(self, head: InferHead, body: memoryview, reply: Callable[[InferReply], None]) -> RemoteExchange:
        """Send a request; `reply` is called once, later. Raises Unavailable when there is no room for the body."""
        size = len(body)
        placed, place = self._placed(body) if size > COPIED_SIZE else (None, 0)
        number = next(self._numbers) % messages.NUMBERS
        self._under_way[number] = _UnderWay(reply, placed)
        target = dumps([head.model, head.version, head.header_length, size])
        self._write(messages.EXCHANGE, number, place, target, b"" if placed is not None else bytes(body))
        return RemoteExchange(self._write, number)

    def _placed(self, body: memoryview) -> tuple[memoryview, int]:
        """The body in shared memory, and where there."""
        place = self._requests.find(np.frombuffer(body, np.uint8))
        if 0 <= place < CAPACITY:
            return body, place
        place = self._requests.take(len(body))
        room = self._requests.view(place, len(body), self._requests.give).data
        room[:] = body
        return room, place

    def replied(self, answer: Frame) -> None:
        """Hand on what the owner says."""
        reply = self._under_way.pop(answer.number).reply
        status, header_length, retry_after, size = loads(answer.extra)
        body: Buffer = answer.body
        if size > COPIED_SIZE:
            body = self._results.view(answer.offset, size, self._release).data
        try:
            reply(InferReply(status, [body], size, header_length, retry_after))
        except Exception:
            # One reply that cannot be delivered must not cost the others theirs.
            _log.exception("the answer of a request could not be delivered")
