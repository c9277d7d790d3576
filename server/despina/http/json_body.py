"""Bodies that are JSON and nothing else, of requests and of responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.http.paths import path_model
from despina.protocol.decode import check_json_size
from despina.protocol.json import dumps

if TYPE_CHECKING:
    from despina.models.model import Model
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


async def read_model_and_body(request: Request, server: Server) -> tuple[Model, bytes]:
    """As `path_model` and `read_json_body`. A model that is not there is told before the body has come; of one that is,
    another may have taken the place meanwhile."""
    path_model(request, server)
    body = await read_json_body(request, server)
    return path_model(request, server), body


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as the body of a response."""
    return Response(dumps(value), status, headers, JSON)
