"""The head of a response, as it goes back to the client."""

from dataclasses import dataclass
from http import HTTPStatus

from despina.deploy.gate.chunks import LAST_CHUNK, chunk
from despina.deploy.gate.request_head import HOP_BY_HOP, RequestHead


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """`chunked`: the body is to be written in chunks; `until_eof`: it ends where the upstream's connection ends."""

    text: bytes
    chunked: bool
    until_eof: bool
    keep_alive: bool

    def framed(self, data: bytes) -> bytes:
        """A piece of the body as it goes to the client."""
        return chunk(data) if self.chunked else data

    @property
    def end(self) -> bytes:
        """What goes to the client behind the last piece."""
        return LAST_CHUNK if self.chunked else b""


def response_head(
    request: RequestHead, status: int, headers: list[tuple[bytes, bytes]], *, keep_alive: bool
) -> ResponseHead:
    """With the request's id, without fields about the upstream's connection.

    `keep_alive` says whether the client's connection is to stay.
    """
    names = set()
    lines = [b"HTTP/1.1 %d %s" % (status, _phrase(status))]
    for name, value in headers:
        lowered = name.lower()
        names.add(lowered)
        if lowered not in HOP_BY_HOP:
            lines.append(b"%s: %s" % (name, value))
    if b"x-request-id" not in names:
        lines.append(b"x-request-id: " + (request.get(b"x-request-id") or b""))
    bodiless = request.method == b"HEAD" or status in (204, 304)
    chunked = not bodiless and b"content-length" not in names
    until_eof = chunked and b"transfer-encoding" not in names
    if chunked and request.http_10:
        chunked = keep_alive = False
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    if not keep_alive:
        lines.append(b"connection: close")
    elif request.http_10:  # which believes in a lasting connection only when told
        lines.append(b"connection: keep-alive")
    return ResponseHead(b"\r\n".join(lines) + b"\r\n\r\n", chunked, until_eof, keep_alive)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
