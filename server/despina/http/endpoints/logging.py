"""What the server logs: reading and changing it (protocol §1.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.errors import Unavailable, Unsupported
from despina.http.endpoint import Endpoint, Place, reading
from despina.http.json_body import json_response, read_json_body
from despina.protocol.fields import cut_at_nul
from despina.protocol.json import Json, as_bool, as_string, as_unsigned, loads_first_wins
from despina.telemetry.logging import FILE_IS_FIXED, FLAGS, FORMATS, as_level

if TYPE_CHECKING:
    from despina.server import Server
    from despina.telemetry.logging import LogSettings


def read_logging(place: Place, server: Server) -> Response:
    """What the server logs."""
    return _rendered(server.logging)


async def update_logging(request: Request, server: Server) -> Response:
    """Change what the server logs; answers with the settings that are in force then."""
    document = loads_first_wins(await read_json_body(request, server))
    fields = document if isinstance(document, dict) else {}
    try:
        change(server.logging, {key: value for key, value in fields.items() if value is not None})
    finally:
        server.logging.apply()
    return _rendered(server.logging)


def change(settings: LogSettings, document: Json) -> None:
    """Set the fields `document` holds, in the protocol's order: an error leaves the fields before it changed, as in
    tritonserver. Raises Internal for JSON of the wrong type, Unsupported for the file, Unavailable for the format."""
    if "log_file" in document:
        raise Unsupported(FILE_IS_FIXED)
    for flag in FLAGS:
        if flag in document:
            setattr(settings, flag, as_bool(document[flag]))
    if "log_verbose_level" in document:
        settings.log_verbose_level = as_level(as_unsigned(document["log_verbose_level"]))
    if "log_format" in document:
        log_format = cut_at_nul(as_string(document["log_format"]))
        if log_format not in FORMATS:
            raise Unavailable(f"invalid argument for --log_format, got: {log_format}")
        settings.log_format = log_format


def _rendered(settings: LogSettings) -> Response:
    return json_response({"log_file": settings.log_file, **settings.switches})


ENDPOINTS = (
    reading("/v2/logging", "logging", read_logging),
    Endpoint(("POST",), "/v2/logging", "logging", update_logging),
)
