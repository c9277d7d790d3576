"""Bodies that are JSON and nothing else, of requests and of responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.protocol.decode import check_json_size
from despina.protocol.json import dumps

if TYPE_CHECKING:
    from despina.server import Server

JSON = "application/json"


async def read_json_body(request: Request, server: Server) -> bytes:
    """The body, not parsed yet. Raises InvalidArgument when it is longer than JSON may be (protocol §2.9): such a body
    is read to its end, so that the client gets to the answer, but not kept."""
    size = 0
    body = bytearray()
    async for piece in request.stream():
        size += len(piece)
        if size <= server.limits.max_input_size:
            body += piece
        else:
            body.clear()
    check_json_size(size, server.limits)
    return bytes(body)


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as the body of a response."""
    return Response(dumps(value), status, headers, JSON)
