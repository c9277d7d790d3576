"""Status line and headers of what the infer lane answers."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from despina.http.infer_exchange import InferReply


def reply_head(reply: InferReply, connection: str = "") -> bytes:
    """Status line and headers of a reply. `connection` is "close", "keep-alive", or "" for neither."""
    if reply.status == 200 and not reply.encoding:
        if connection:
            return _head_with(connection, reply.header_length, reply.size)
        return _usual_head(reply.header_length, reply.size)
    lines = [b"HTTP/1.1 %d %s" % (reply.status, HTTPStatus(reply.status).phrase.encode())]
    lines.append(b"content-type: application/" + (b"octet-stream" if reply.header_length else b"json"))
    if reply.header_length:
        lines.append(b"inference-header-content-length: %d" % reply.header_length)
    if reply.encoding:
        lines.append(b"content-encoding: " + reply.encoding.encode())
    if reply.retry_after is not None:
        lines.append(b"retry-after: %d" % whole_seconds(reply.retry_after))
    if connection:
        lines.append(b"connection: " + connection.encode())
    lines.append(b"content-length: %d\r\n\r\n" % reply.size)
    return b"\r\n".join(lines)


def whole_seconds(retry_after: float) -> int:
    """What Retry-After says. Not 0, which clients take for at once."""
    return max(1, round(retry_after))


@lru_cache(maxsize=1024)
def _usual_head(header_length: int, size: int) -> bytes:
    """Of an answer to an inference that is not compressed, on a connection that stays."""
    if not header_length:
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
        b"inference-header-content-length: %d\r\ncontent-length: %d\r\n\r\n" % (header_length, size)
    )


@lru_cache(maxsize=1024)
def _head_with(connection: str, header_length: int, size: int) -> bytes:
    """The same, where something is said of the connection."""
    said = b"\r\nconnection: %b\r\ncontent-length: " % connection.encode()
    return _usual_head(header_length, size).replace(b"\r\ncontent-length: ", said)
