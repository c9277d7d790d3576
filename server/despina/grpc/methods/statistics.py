"""Statistics of one model version, of a model, of all models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.grpc.model_names import named_version
from despina.protocol.fields import cut_at_nul
from despina.telemetry.statistics_json import render

if TYPE_CHECKING:
    from despina.server import Server

STATISTICS = message_class("ModelStatisticsResponse")


async def model_statistics(request: Message, server: Server) -> Message:
    """Counters of every ready version, sorted by name and version. Raises InvalidArgument where there is none."""
    version = named_version(request.version)
    models = server.models.statistics_of(cut_at_nul(request.name) or None, version)
    return STATISTICS(model_stats=[render(model.name, model.version, model.statistics) for model in models])


METHODS = (Method("ModelStatistics", message_class("ModelStatisticsRequest"), "statistics", model_statistics),)
