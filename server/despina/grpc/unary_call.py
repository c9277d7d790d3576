"""A call with one message and one answer, from its data to the end of its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from despina.errors import Internal
from despina.grpc.answers import HEADERS, OK_TRAILERS, refusal
from despina.grpc.failures import as_client_error, server_is_ending
from despina.grpc.incoming import Incoming
from despina.grpc.outgoing import HEAD_SIZE, prefixed
from despina.grpc.status import code_of, message_of

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead
    from despina.grpc.http2.stream import Buffer, Stream
    from despina.server import Server


class UnaryCall(ABC):
    """One call. Implements `Receiver`."""

    __slots__ = ("_incoming", "_message", "head", "server", "stream")

    def __init__(self, server: Server, stream: Stream, head: CallHead) -> None:
        self.server = server
        self.stream = stream
        self.head = head
        self._incoming: Incoming | None = None
        self._message: memoryview | None = None

    @abstractmethod
    def start(self, message: bytes | memoryview) -> None:
        """Answer the call, now or later. May raise anything: the call is refused then."""

    @abstractmethod
    def abandon(self) -> None:
        """Nobody wants the answer any more."""

    def data_received(self, data: bytes, begin: int, end: int, ended: bool) -> None:
        try:
            size = end - begin - HEAD_SIZE
            if ended and size >= 0 and self._incoming is None and data.startswith(size.to_bytes(HEAD_SIZE), begin):
                self.start(data[begin + HEAD_SIZE : end])
            else:
                self._collect(data, begin, end, ended)
        except Exception as error:
            self.refuse(error)

    def _collect(self, data: bytes, begin: int, end: int, ended: bool) -> None:
        incoming = self._incoming
        if incoming is None:
            self._incoming = incoming = Incoming(self.server, self.stream, self.head, self.refuse)
        for message in incoming.feed(data, begin, end):
            if self._message is not None:
                raise _too_many()
            self._message = message
        if self._message is not None and incoming.partial:
            raise _too_many()
        if ended:
            if self._message is None:
                raise Internal("the request ends before its message does")
            whole = incoming.plain(self._message)
            self._message = self._incoming = None
            self.start(whole)
        elif self._message is None:
            incoming.go_on()

    def sent(self) -> None:  # noqa: B027  # not abstract: the same for all of them
        """There is only one answer."""

    def server_ends(self) -> None:
        if not self.stream.remote_ended:
            self.refuse(server_is_ending())

    def gone(self) -> None:
        self._drop()
        self.abandon()

    def refuse(self, error: Exception) -> None:
        """Answer with an error."""
        self._drop()
        told = as_client_error(error, self.head)
        self.stream.end(refusal(code_of(told), message_of(told)))

    def _drop(self) -> None:
        """What has come of the request is not needed any more."""
        incoming, self._incoming, self._message = self._incoming, None, None
        if incoming is not None:
            incoming.drop()

    def reply(self, message: Sequence[Buffer]) -> None:
        """Answer with a message."""
        self.stream.answer(HEADERS, *prefixed(message), OK_TRAILERS)


def _too_many() -> Internal:
    return Internal("more than one message in a call that takes one")
