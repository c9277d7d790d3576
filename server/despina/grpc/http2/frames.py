"""Frames of HTTP/2 (RFC 9113 §4 and §6), and what may go wrong on a connection."""

from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

HEAD = Struct(">BHBBI")
"""Of a frame: its length (24 bits, the upper 8 and the lower 16), type, flags and stream."""

SETTING = Struct(">HI")

STREAM_IDS = 0x7FFFFFFF
"""Bits of a stream's number, or of an increment; the one above is reserved."""

DEFAULT_WINDOW = 65_535
MAX_WINDOW = 0x7FFFFFFF
LEAST_MAX_FRAME = 16_384
"""Bytes of the payload of a frame that everybody takes."""


class Kind:
    """Types of frames. Plain numbers, like the others here: each request looks at several."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag:
    """Bits; which of them there are depends on the type of the frame."""

    END_STREAM = 0x01
    ACK = 0x01
    END_HEADERS = 0x04
    PADDED = 0x08
    PRIORITY = 0x20


class Setting:
    """What either side tells the other about itself."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode:
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ProtocolError(Exception):
    """The peer broke a rule of the connection, which ends."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(SETTING.pack(*item) for item in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """The peer may send `increment` bytes more on a stream, or on the connection, which is stream 0."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    """A stream ends at once."""
    return frame(Kind.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last_stream: int, code: int, reason: str = "") -> bytes:
    """No streams after `last_stream` will be answered."""
    payload = last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + reason.encode()
    return frame(Kind.GOAWAY, 0, 0, payload)
