"""Bodies that are JSON and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from despina.protocol.decode import check_json_size

if TYPE_CHECKING:
    from despina.server import Server


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
