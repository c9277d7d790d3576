"""Frames out of the bytes of a connection, which come in any pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from despina.grpc.http2.frames import HEAD, PREFACE, STREAM_IDS, ErrorCode, Flag, Kind, ProtocolError

MAX_FRAME = 1 << 20
"""Bytes of the payload of a frame that are taken."""

MAX_BLOCK = 64 * 1024
"""Bytes of the headers of one request, as they come, and of any frame that is no data."""

TakeFrame = Callable[[int, int, int, bytes, int, int], None]
"""Type, flags, stream, and the bytes in which the payload lies from one position to another."""


class _Missing(NamedTuple):
    """What has not come yet of a frame of data."""

    size: int
    flags: int
    stream: int


class FrameReader:
    """Hands the frames behind the preface to `take`. The data of one goes on as it comes, as if it were in several
    frames; others are whole."""

    def __init__(self, take: TakeFrame) -> None:
        self._take = take
        self._greeted = False
        self._rest = bytearray()
        self._enough = 0
        """Bytes that `_rest` must have before it is worth a look."""
        self._missing = _Missing(0, 0, 0)
        self._read = 0

    def feed(self, data: bytes) -> int:
        """How many frames have been read. Raises ProtocolError."""
        before = self._read
        if self._rest:
            self._rest += data
            if len(self._rest) < self._enough:
                return 0
            data, self._rest = bytes(self._rest), bytearray()
        position = self._read_missing(data) if self._missing.size else 0
        if not self._greeted:
            position = self._read_preface(data)
        position = self._read_frames(data, position) if self._greeted else 0
        if position < len(data):
            self._rest += data[position:]
        return self._read - before

    def _read_preface(self, data: bytes) -> int:
        """Where frames begin."""
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "expected a connection of HTTP/2, as gRPC clients make")
        self._greeted = len(data) >= len(PREFACE)
        self._enough = len(PREFACE)
        return len(PREFACE)

    def _read_frames(self, data: bytes, position: int) -> int:
        """Where the first frame begins that is not whole."""
        size = len(data)
        while size - position >= HEAD.size:
            upper, lower, kind, flags, stream = HEAD.unpack_from(data, position)
            length = upper << 16 | lower
            begin = position + HEAD.size
            end = begin + length
            if length > MAX_FRAME:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes, at most {MAX_FRAME}")
            if length > MAX_BLOCK and kind != Kind.DATA:
                raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"{length} bytes of no data, at most {MAX_BLOCK}")
            if end > size:
                if kind != Kind.DATA or flags & Flag.PADDED:
                    self._enough = end - position
                    return position
                self._missing = _Missing(end - size, flags, stream)
                flags, end = 0, size
            self._take(kind, flags, stream & STREAM_IDS, data, begin, end)
            self._read += 1
            position = end
        self._enough = HEAD.size
        return position

    def _read_missing(self, data: bytes) -> int:
        """Where the next frame begins."""
        missing, flags, stream = self._missing
        end = min(missing, len(data))
        self._missing = _Missing(missing - end, flags, stream)
        self._take(Kind.DATA, 0 if missing > end else flags, stream & STREAM_IDS, data, 0, end)
        return end
