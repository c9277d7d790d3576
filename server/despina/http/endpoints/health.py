"""Is the server alive, is it ready, is a model ready (protocol §1.1, §1.4)? The status answers, bodies are empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.http.endpoint import Endpoint
from despina.http.paths import path_model

if TYPE_CHECKING:
    from despina.server import Server


async def live(request: Request, server: Server) -> Response:
    """Whether the server answers at all: 200 or 400."""
    server.check_not_exiting()
    return Response(status_code=200 if server.is_live else 400)


async def ready(request: Request, server: Server) -> Response:
    """Whether every model that should be served is: 200 or 400."""
    server.check_not_exiting()
    return Response(status_code=200 if server.is_ready else 400)


async def model_ready(request: Request, server: Server) -> Response:
    """Whether a model version is ready to infer."""
    path_model(request, server)
    return Response(status_code=200)


ENDPOINTS = (
    Endpoint(("GET",), "/v2/health/live", "health", live),
    Endpoint(("GET",), "/v2/health/ready", "health", ready),
    Endpoint(("GET",), "/v2/models/{model}/ready", "health", model_ready),
    Endpoint(("GET",), "/v2/models/{model}/versions/{version:version}/ready", "health", model_ready),
)
