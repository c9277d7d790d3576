"""Messages of a request out of its data: each has a head of 5 bytes, whether it is compressed, and its size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from despina.errors import Internal, InvalidArgument
from despina.grpc.http2.connection import STREAM_WINDOW
from despina.grpc.outgoing import HEAD_SIZE
from despina.http.body_budget import SMALLEST_CLAIM, too_slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from despina.grpc.call_head import CallHead
    from despina.grpc.http2.stream import Stream
    from despina.http.body_budget import Claim
    from despina.server import Server

MAX_MESSAGE = 0x7FFFFFFF
"""Bytes of a message, as tritonserver has it."""


class Incoming:
    """The messages of one request. A large one claims its room before it may come, as bodies over HTTP do. `refuse` is
    called when that takes too long. Implements `Sender`."""

    __slots__ = ("_claim", "_compressed", "_filled", "_head", "_message", "_packed", "_refuse", "_server", "_stream")

    def __init__(self, server: Server, stream: Stream, head: CallHead, refuse: Callable[[Exception], None]) -> None:
        self._server = server
        self._stream = stream
        self._compressed = head.encoding != b"identity"
        self._refuse = refuse
        self._head = b""
        self._message: memoryview | None = None
        self._filled = 0
        self._packed = False
        self._claim: Claim | None = None

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._head)

    def feed(self, data: bytes, begin: int, end: int) -> Iterator[memoryview]:
        """The messages that are complete with the bytes of `data` from `begin` to `end`, as they came: what each is has
        to be asked of `plain` before the next one. Raises DespinaError."""
        view = memoryview(data)
        while begin < end:
            if self._message is None:
                taken = min(HEAD_SIZE - len(self._head), end - begin)
                self._head += data[begin : begin + taken]
                begin += taken
                if len(self._head) < HEAD_SIZE:
                    return
                size = int.from_bytes(self._head[1:])
                if size <= end - begin:
                    self._packed, self._head = bool(self._head[0]), b""
                    yield view[begin : begin + size]
                    begin += size
                    continue
                self._begin(size)
            begin += self._fill(view[begin:end])
            message = self._message
            if message is not None and self._filled == len(message):
                self._packed, self._head = bool(self._head[0]), b""
                self._message = None
                yield message

    def plain(self, message: memoryview) -> memoryview:
        """A message that is complete, unpacked. Its room is given back: from here on other limits count. Raises
        DespinaError."""
        self.drop()
        if not self._packed:
            return message
        if not self._compressed:
            raise Internal("a compressed message, and no 'grpc-encoding' that says how. Send it as it is, or say so.")
        return memoryview(inflate(message, self._server.limits.max_input_size))

    def go_on(self) -> None:
        """Let the client send the rest of the message that has begun, once there is room for it, or the next one."""
        if self._claim is not None and self._claim.waiting:
            return
        missing = 0 if self._message is None else len(self._message) - self._filled
        window = self._stream.receive_window
        if window < max(missing, STREAM_WINDOW // 2):
            self._stream.grant(max(missing, STREAM_WINDOW) - window)

    def drop(self) -> None:
        """The message that has begun is of no use here any more."""
        self._message = None
        claim, self._claim = self._claim, None
        if claim is not None and (budget := self._server.body_budget) is not None:
            budget.give_back(claim)

    def _begin(self, size: int) -> None:
        if size > MAX_MESSAGE:
            raise InvalidArgument(f"a message of {size} bytes exceeds the maximum of {MAX_MESSAGE} bytes")
        self.drop()
        self._filled = 0
        self._message = np.empty(size, np.uint8).data  # takes no memory before it is written
        budget = self._server.body_budget
        if budget is not None and size >= SMALLEST_CLAIM:
            self._claim = budget.claim(self, size)

    @property
    def arrived(self) -> int:
        """Implements `Sender`, as what follows does."""
        return self._filled

    def room_granted(self) -> None:
        self.go_on()

    def room_revoked(self) -> None:
        assert self._claim is not None
        error = too_slow(self._filled, self._claim.wanted)
        self.drop()
        self._refuse(error)

    def _fill(self, data: memoryview) -> int:
        assert self._message is not None
        taken = min(len(data), len(self._message) - self._filled)
        self._message[self._filled : self._filled + taken] = data[:taken]
        self._filled += taken
        return taken


def inflate(message: memoryview, limit: int) -> bytes:
    """A message that is compressed as gzip or deflate. Raises Internal for one that is corrupt, InvalidArgument for one
    of more than `limit` bytes."""
    inflater = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, told apart by their first bytes
    try:
        plain = inflater.decompress(message, limit + 1)
    except zlib.error as error:
        raise Internal(f"a compressed message that is corrupt: {error}") from None
    if len(plain) > limit:
        raise InvalidArgument(
            f"Decompressed data size exceeds the maximum allowed value of {limit} bytes. Use --http-max-input-size to "
            "increase the limit."
        )
    if not inflater.eof:
        raise Internal("a compressed message that is cut short")
    return plain
