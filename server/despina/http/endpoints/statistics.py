"""Statistics of one model version, of a model, of all models (protocol §1.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from despina.http.endpoint import Place, reading
from despina.http.json_body import json_response
from despina.http.paths import path_name, path_version
from despina.telemetry.statistics_json import render

if TYPE_CHECKING:
    from despina.server import Server


def model_statistics(place: Place, server: Server) -> Response:
    """Counters of every ready version, sorted by name and version. InvalidArgument where there is none, unlike
    elsewhere."""
    models = server.models.statistics_of(path_name(place, server), path_version(place))
    rendered = [render(model.name, model.version, model.statistics) for model in models]
    return json_response({"model_stats": rendered})


ENDPOINTS = (
    reading("/v2/models/stats", "statistics", model_statistics),
    reading("/v2/models/{model}/stats", "statistics", model_statistics),
    reading("/v2/models/{model}/versions/{version:int}/stats", "statistics", model_statistics),
)
