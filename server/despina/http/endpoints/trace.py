"""Which requests are traced: reading and changing the settings (protocol §1.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from despina.errors import InvalidArgument, Unsupported
from despina.http.endpoint import Endpoint, Place, reading
from despina.http.json_body import json_response, read_json_body
from despina.http.paths import path_name
from despina.protocol.fields import cut_at_nul
from despina.protocol.json import Json, as_array, as_string, loads_first_wins
from despina.telemetry.tracing.values import FILE_IS_FIXED, Changes, as_count, as_natural, change_of_levels

if TYPE_CHECKING:
    from despina.server import Server


def read_settings(place: Place, server: Server) -> Response:
    """Which requests are traced, of a model or by default."""
    return json_response(server.trace.render(_model(place, server)))


async def update_settings(request: Request, server: Server) -> Response:
    """Change which requests are traced; null goes back to the setting inherited."""
    model = _model(request, server)
    server.trace.update(read_changes(loads_first_wins(await read_json_body(request, server))), model)
    return json_response(server.trace.render(model))


def read_changes(document: Json) -> Changes:
    """What the body of a request changes: nothing if it is no object, and null means that the field is inherited again.
    Levels none of which is known change nothing. Raises Internal for JSON of the wrong type, InvalidArgument, and
    Unsupported when the file is to be changed."""
    body = document if isinstance(document, dict) else {}
    if "trace_file" in body:
        raise Unsupported(FILE_IS_FIXED)
    changes: dict[str, Any] = {}
    if "trace_level" in body:
        changes |= _as_levels(body["trace_level"])
    for key, setting in (("rate", "trace_rate"), ("count", "trace_count"), ("log_frequency", "log_frequency")):
        if setting in body:
            text = body[setting]
            changes[key] = None if text is None else _as_number(setting, cut_at_nul(as_string(text)))
    return changes


def _as_levels(value: Json) -> Changes:
    if value is None:
        return {"levels": None}
    entries = as_array(value)
    return change_of_levels(map(as_string, entries), len(entries))


def _as_number(setting: str, text: str) -> int:
    return as_count(text) if setting == "trace_count" else as_natural(setting, text)


def _model(place: Place, server: Server) -> str | None:
    """The model in the path, see `check_model`."""
    name = path_name(place, server)
    if name is not None:
        check_model(name, server)
    return name


def check_model(name: str, server: Server) -> None:
    """Raises InvalidArgument, not NotFound, when a model has no version ready: clients' tests expect this text with the
    space before the colon."""
    if not server.models.versions(name):
        raise InvalidArgument(f"Request for unknown model : {name}")


ENDPOINTS = (
    reading("/v2/trace/setting", "trace", read_settings),
    Endpoint(("POST",), "/v2/trace/setting", "trace", update_settings),
    reading("/v2/models/{model}/trace/setting", "trace", read_settings),
    Endpoint(("POST",), "/v2/models/{model}/trace/setting", "trace", update_settings),
)
