"""Header blocks out of frames: HEADERS, and the CONTINUATIONs right behind it (RFC 9113 §6.2, §6.10)."""

from collections.abc import Callable

from despina.grpc.http2.frame_reader import MAX_BLOCK
from despina.grpc.http2.frames import ErrorCode, Flag, Kind, ProtocolError

TakeHeaders = Callable[[bytes, int, int], None]
"""A block, the flags of its HEADERS frame, and its stream."""


class HeaderFrames:
    """Hands whole blocks to `take`. What is raised is a ProtocolError."""

    def __init__(self, take: TakeHeaders) -> None:
        self._take = take
        self.begun: tuple[int, int, bytearray] | None = None
        """Of headers that continue: the stream, the flags and what has come."""

    def check_next(self, kind: int, stream: int) -> None:
        """Nothing else may come between the frames of a block that has begun."""
        if self.begun is not None and (kind != Kind.CONTINUATION or stream != self.begun[0]):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "expected the rest of a header block")

    def begin(self, data: bytes, begin: int, end: int, flags: int, stream: int) -> None:
        """Take a HEADERS frame, whose payload is the bytes of `data` from `begin` to `end`."""
        if flags & Flag.PADDED:
            begin, end = unpadded(data, begin, end)
        if flags & Flag.PRIORITY:
            begin += 5
            if begin > end:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "headers without their priority")
        if flags & Flag.END_HEADERS:
            self._take(data[begin:end], flags, stream)
        else:
            self.begun = stream, flags, bytearray(data[begin:end])

    def go_on(self, payload: bytes, flags: int, stream: int) -> None:
        """Take a CONTINUATION frame."""
        if self.begun is None or (not payload and not flags & Flag.END_HEADERS):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "the rest of no header block, or nothing of one")
        stream, first_flags, block = self.begun
        block += payload
        if len(block) > MAX_BLOCK:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"headers of more than {MAX_BLOCK} bytes")
        if flags & Flag.END_HEADERS:
            self.begun = None
            self._take(bytes(block), first_flags, stream)


def unpadded(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Where the content of a padded payload lies. Raises ProtocolError."""
    if begin == end or data[begin] > end - begin - 1:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "less of a payload than its padding")
    return begin + 1, end - data[begin]
