"""The headers and trailers of answers to calls, as blocks that enter no table."""

from functools import lru_cache
from urllib.parse import quote_from_bytes

from despina.grpc.http2.header_blocks import literal

_STATUS_200 = b"\x88"
"""`:status: 200`, which the static table has (RFC 7541, appendix A)."""

HEADERS = _STATUS_200 + literal(b"content-type", b"application/grpc")
GZIP_HEADERS = HEADERS + literal(b"grpc-encoding", b"gzip")

UNSUPPORTED_MEDIA_TYPE = literal(b":status", b"415")
"""What a client is answered that does not speak gRPC."""

_READABLE = bytes(set(range(0x20, 0x7F)) - {0x25}).decode()
MAX_MESSAGE = 6_000
"""Bytes of the message of a status, quoted. Clients take 8 KiB of trailers by default, and show nothing of longer
ones."""

LONGEST_CHARACTER = 12
"""Bytes of one that is quoted, at most."""


def trailers(code: int, message: str = "") -> bytes:
    """The end of an answer: its status code and, unless it is empty, a message."""
    return _trailers(code, message[:MAX_MESSAGE])


@lru_cache(maxsize=64)
def _trailers(code: int, message: str) -> bytes:
    block = literal(b"grpc-status", str(code).encode())
    if message:
        block += literal(b"grpc-message", _quoted(message))
    return block


def _quoted(message: str) -> bytes:
    text = quote_from_bytes(message.encode(errors="surrogateescape"), safe=_READABLE)
    return text.encode() if len(text) <= MAX_MESSAGE else _quoted(message[: MAX_MESSAGE // LONGEST_CHARACTER])


OK_TRAILERS = trailers(0)


def refusal(code: int, message: str) -> bytes:
    """An answer that has no message, only a status."""
    return HEADERS + trailers(code, message)
