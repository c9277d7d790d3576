"""What the server says about itself: an OpenAPI document, and a page to browse it with.

Neither path is one of tritonserver's. Both count as metadata: whoever may not see the models does not see them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.http.endpoint import Endpoint
from despina.http.json_body import json_response
from despina.http.openapi import document

if TYPE_CHECKING:
    from despina.server import Server

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'"
"""The page is one file and talks to this server only, whatever the name of a model may contain."""


def describing(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints that describe `endpoints` and the models that are ready."""

    async def openapi(request: Request, server: Server) -> Response:
        """This server as an OpenAPI 3.1 document."""
        return json_response(document(endpoints, server.models.ready_models(), server.version))

    return (
        Endpoint(("GET",), "/openapi.json", "metadata", openapi),
        Endpoint(("GET",), "/docs", "metadata", page),
    )


async def page(request: Request, server: Server) -> Response:
    """A page to browse this server's models and endpoints and to try them."""
    text = files("despina.http").joinpath("assets", "docs.html").read_bytes()
    return Response(text, headers={"content-security-policy": _POLICY}, media_type="text/html")
