"""What the server logs: reading and changing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from despina.errors import InvalidArgument, Unsupported
from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.grpc.text import as_utf8
from despina.telemetry.logging import FILE_IS_FIXED, FLAGS, FORMATS, as_level

if TYPE_CHECKING:
    from despina.server import Server
    from despina.telemetry.logging import LogSettings

SETTINGS = message_class("LogSettingsResponse")


async def log_settings(request: Message, server: Server) -> Message:
    """Change what the server logs, and tell the settings that are in force then. Raises InvalidArgument,
    Unsupported."""
    if request.settings:
        try:
            change(server.logging, request.settings)
        finally:
            server.logging.apply()
    return _rendered(server.logging)


def change(settings: LogSettings, given: Mapping[str, Message]) -> None:
    """Set what is given, in the protocol's order: an error leaves what comes before it changed, as in tritonserver.
    Raises InvalidArgument for a value of the wrong kind, Unsupported for the file."""
    if "log_file" in given:
        raise Unsupported(FILE_IS_FIXED)
    for flag in FLAGS:
        if flag in given:
            setattr(settings, flag, _chosen(flag, given[flag], "bool_param", "boolean"))
    if "log_verbose_level" in given:
        level: int = _chosen("log_verbose_level", given["log_verbose_level"], "uint32_param", "int32")
        settings.log_verbose_level = as_level(level)
    if "log_format" in given:
        log_format = _chosen("log_format", given["log_format"], "string_param", "string")
        if log_format not in FORMATS:
            raise InvalidArgument(f"invalid argument for log_format, got: {log_format}")
        settings.log_format = log_format


def _chosen(setting: str, value: Message, kind: str, spelled: str) -> Any:
    if value.WhichOneof("parameter_choice") != kind:
        raise InvalidArgument(f"expect {spelled} for '{setting}'")
    return getattr(value, kind)


def _rendered(settings: LogSettings) -> Message:
    values = {"log_file": as_utf8(settings.log_file), **settings.switches}
    return SETTINGS(settings={name: _setting(value) for name, value in values.items()})


def _setting(value: object) -> Message:
    if isinstance(value, bool):
        return SETTINGS.SettingValue(bool_param=value)
    if isinstance(value, int):
        return SETTINGS.SettingValue(uint32_param=value)
    return SETTINGS.SettingValue(string_param=value)


METHODS = (Method("LogSettings", message_class("LogSettingsRequest"), "logging", log_settings),)
