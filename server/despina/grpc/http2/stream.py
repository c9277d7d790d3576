"""One stream of a connection: a request and its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from despina.grpc.http2.sending import Sending

Buffer = bytes | bytearray | memoryview


class Receiver(Protocol):
    """What a stream's request goes to."""

    def data_received(self, data: bytes, begin: int, end: int, ended: bool) -> None:
        """The bytes of `data` from `begin` to `end` have come, and nothing follows if the request has `ended`."""
        ...

    def sent(self) -> None:
        """What was sent so far and had to wait for the client is on its way."""
        ...

    def server_ends(self) -> None:
        """The server ends: what has not come yet is not waited for."""
        ...

    def gone(self) -> None:
        """The client does not want the answer any more, or cannot get it."""
        ...


@dataclass(slots=True, eq=False)
class Stream:
    """`send_window` and `receive_window` are bytes that either side may still send. `receiver` is None when the answer
    is complete or nobody wants it; the stream is `closed` then, and nothing is sent any more. `blocked` waits for the
    window, `unsent` are its bytes, and `trailers` wait for what is blocked: nothing may be added then."""

    id: int
    sending: Sending
    send_window: int
    receive_window: int
    receiver: Receiver | None = None
    remote_ended: bool = False
    closed: bool = False
    blocked: deque[Buffer] = field(default_factory=deque)
    unsent: int = 0
    trailers: bytes | None = None

    def answer(self, headers: bytes, message: Sequence[Buffer], size: int, trailers: bytes) -> None:
        """Send a whole answer: blocks of headers and of trailers, and a message of `size` bytes between them."""
        if not self.closed:
            self.sending.answer(self, headers, message, size, trailers)

    def send_headers(self, headers: bytes) -> None:
        """Begin an answer of several messages."""
        if not self.closed:
            self.sending.headers(self, headers)

    def send(self, message: Sequence[Buffer]) -> None:
        """Send a message of an answer that has begun."""
        if not self.closed and self.trailers is None:
            self.sending.data(self, message)

    def end(self, trailers: bytes) -> None:
        """End an answer; one that has not begun consists of these headers alone."""
        if not self.closed and self.trailers is None:
            self.sending.end(self, trailers)

    def grant(self, size: int) -> None:
        """Let the client send `size` bytes more."""
        if size > 0 and not self.remote_ended and not self.closed:
            self.receive_window += size
            self.sending.grant(self, size)
