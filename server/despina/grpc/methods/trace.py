"""Which requests are traced: reading and changing the settings, which are lists of texts here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from despina.errors import InvalidArgument, Unsupported
from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.grpc.text import as_utf8
from despina.http.endpoints.trace import check_model
from despina.protocol.fields import cut_at_nul
from despina.telemetry.tracing.values import FILE_IS_FIXED, Changes, as_count, as_natural, change_of_levels

if TYPE_CHECKING:
    from despina.server import Server

SETTINGS = message_class("TraceSettingResponse")


async def trace_setting(request: Message, server: Server) -> Message:
    """Change which requests are traced, of a model or by default, and tell the settings that are in force then. Without
    any setting nothing changes. Raises InvalidArgument, Unsupported."""
    model = cut_at_nul(request.model_name) or None
    if model is not None:
        check_model(model, server)
    if request.settings:
        server.trace.update(read_changes({name: setting.value for name, setting in request.settings.items()}), model)
    rendered = server.trace.render(model)
    return SETTINGS(settings={name: SETTINGS.SettingValue(value=_texts(value)) for name, value in rendered.items()})


def _texts(value: str | list[str]) -> list[str]:
    return [as_utf8(text) for text in (value if isinstance(value, list) else [value])]


def read_changes(settings: Mapping[str, Sequence[str]]) -> Changes:
    """What the settings of a request change: an empty list means that the field is inherited again, and levels of which
    none is known change nothing. Raises InvalidArgument, and Unsupported when the file is to be changed."""
    if "trace_file" in settings:
        raise Unsupported(FILE_IS_FIXED)
    changes: dict[str, Any] = {}
    if "trace_level" in settings:
        levels = settings["trace_level"]
        changes |= change_of_levels(levels, len(levels)) if levels else {"levels": None}
    for key, setting in (("rate", "trace_rate"), ("count", "trace_count"), ("log_frequency", "log_frequency")):
        if setting in settings:
            changes[key] = _as_number(setting, settings[setting])
    return changes


def _as_number(setting: str, values: Sequence[str]) -> int | None:
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument(f"expect only 1 value for '{setting}'")
    return as_count(values[0], "got: ") if setting == "trace_count" else as_natural(setting, values[0])


METHODS = (Method("TraceSetting", message_class("TraceSettingRequest"), "trace", trace_setting),)
