"""A front end's side of infer requests that it passes on to its owner as they came."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Protocol

from despina.http.infer_exchange import InferReply
from despina.http.request_head import InferHead
from despina.http.workers import messages
from despina.http.workers.arena import COPIED_SIZE, Arena
from despina.http.workers.messages import Frame
from despina.protocol.encode import Buffer
from despina.protocol.json import dumps, loads

_log = logging.getLogger(__name__)


class Write(Protocol):
    """Sends a frame to the owner."""

    def __call__(self, kind: int, number: int = 0, offset: int = 0, extra: bytes = b"", body: bytes = b"") -> None: ...


class RemoteExchange:
    """A request whose reply is waited for."""

    __slots__ = ("_number", "_write")

    def __init__(self, write: Write, number: int) -> None:
        self._write = write
        self._number = number

    def abandon(self) -> None:
        """The client hung up. There is a reply all the same."""
        self._write(messages.ABANDON, self._number)


class RemoteExchanges:
    """Those that are under way. Large replies lie in the arena `results`; `release` gives a slot of it back."""

    def __init__(self, results: Arena, write: Write, release: Callable[[int], None]) -> None:
        self._results = results
        self._write = write
        self._release = release
        self._numbers = itertools.count()
        self._replies: dict[int, Callable[[InferReply], None]] = {}

    def start(self, head: InferHead, body: bytes | memoryview, reply: Callable[[InferReply], None]) -> RemoteExchange:
        """Send a request, whose body is small; `reply` is called once, later."""
        number = next(self._numbers) % messages.NUMBERS
        self._replies[number] = reply
        described = dumps([head.model, head.version, head.header_length])
        self._write(messages.EXCHANGE, number, 0, described, bytes(body))
        return RemoteExchange(self._write, number)

    def replied(self, answer: Frame) -> None:
        """Hand on what the owner says."""
        reply = self._replies.pop(answer.number)
        status, header_length, retry_after, size = loads(answer.extra)
        body: Buffer = answer.body
        if size > COPIED_SIZE:
            body = self._results.view(answer.offset, size, self._release).data
        try:
            reply(InferReply(status, [body], size, header_length, retry_after))
        except Exception:
            # One reply that cannot be delivered must not cost the others theirs.
            _log.exception("the answer of a request could not be delivered")
