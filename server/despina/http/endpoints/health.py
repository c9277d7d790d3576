"""Is the server alive, is it ready, is a model ready (protocol §1.1, §1.4)? The status answers, bodies are empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from despina.http.endpoint import Place, reading
from despina.http.paths import path_model

if TYPE_CHECKING:
    from despina.server import Server


def live(place: Place, server: Server) -> Response:
    """Whether the server answers at all: 200 or 400."""
    server.check_not_exiting()
    return Response(status_code=200 if server.is_live else 400)


def ready(place: Place, server: Server) -> Response:
    """Whether every model that should be served is: 200 or 400."""
    server.check_not_exiting()
    return Response(status_code=200 if server.is_ready else 400)


def model_ready(place: Place, server: Server) -> Response:
    """Whether a model version is ready to infer."""
    path_model(place, server)
    return Response(status_code=200)


ENDPOINTS = (
    reading("/v2/health/live", "health", live),
    reading("/v2/health/ready", "health", ready),
    reading("/v2/models/{model}/ready", "health", model_ready),
    reading("/v2/models/{model}/versions/{version:int}/ready", "health", model_ready),
)
