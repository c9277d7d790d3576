"""Answers of the gate itself."""

import json
from http import HTTPStatus


def answer(status: int, message: str, path: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A whole response. Clients of the v2 protocol print the key `error`, those of scripts `message`."""
    key = "error" if path.startswith(b"/v2") else "message"
    body = json.dumps({key: message}).encode()
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
    lines += [b"%s: %s" % pair for pair in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


UNAUTHORIZED = ((b"www-authenticate", b"Bearer"),)
RETRY_SOON = ((b"retry-after", b"1"),)
