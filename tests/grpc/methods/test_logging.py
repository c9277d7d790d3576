from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.grpc_methods import ask_method

from despina.errors import DespinaError, InvalidArgument, Unsupported
from despina.grpc.messages import message_class
from despina.telemetry.logging import LogSettings

DEFAULTS = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


class Logging(LogSettings):
    """Without a log; tells what was applied last."""

    applied: dict[str, object] | None = None

    def apply(self) -> None:
        self.applied = self.switches


def fake_server() -> Any:
    return SimpleNamespace(logging=Logging())


async def setting(server: Any, **values: dict[str, Any]) -> dict[str, Any]:
    """The settings in force after these were changed."""
    made = {name: message_class("LogSettingsRequest").SettingValue(**value) for name, value in values.items()}
    answer = await ask_method(server, "LogSettings", settings=made)
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in answer.settings.items()}


async def test_settings_are_told_with_values_of_their_kind_and_nothing_is_applied() -> None:
    server = fake_server()
    assert await setting(server) == DEFAULTS
    assert server.logging.applied is None


async def test_a_file_with_any_name_is_told() -> None:
    server = fake_server()
    server.logging.log_file = "a\udcff"
    assert (await setting(server))["log_file"] == "a\ufffd"


async def test_settings_are_changed_and_applied() -> None:
    server = fake_server()
    changed = await setting(
        server,
        log_info={"bool_param": False},
        log_error={"bool_param": False},
        log_verbose_level={"uint32_param": 2},
        log_format={"string_param": "ISO8601"},
        unknown={},
    )
    expected = {"log_info": False, "log_error": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert changed == {**DEFAULTS, **expected}
    assert server.logging.applied == {name: value for name, value in changed.items() if name != "log_file"}


async def test_a_verbose_level_below_zero_of_32_bits_is_zero() -> None:
    assert (await setting(fake_server(), log_verbose_level={"uint32_param": 1 << 31}))["log_verbose_level"] == 0


FILE = "log file location can not be updated through network protocol"


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("log_file", {"string_param": "x"}, Unsupported, FILE),
        ("log_file", {}, Unsupported, FILE),
        ("log_info", {"uint32_param": 0}, InvalidArgument, "expect boolean for 'log_info'"),
        ("log_warning", {}, InvalidArgument, "expect boolean for 'log_warning'"),
        ("log_error", {"string_param": "true"}, InvalidArgument, "expect boolean for 'log_error'"),
        ("log_verbose_level", {"bool_param": True}, InvalidArgument, "expect int32 for 'log_verbose_level'"),
        ("log_format", {"uint32_param": 0}, InvalidArgument, "expect string for 'log_format'"),
        ("log_format", {"string_param": "x"}, InvalidArgument, "invalid argument for log_format, got: x"),
        (
            "log_format",
            {"string_param": "default\0"},
            InvalidArgument,
            "invalid argument for log_format, got: default\0",
        ),
    ],
)
async def test_a_value_of_another_kind_is_refused(
    name: str, value: dict[str, Any], kind: type[DespinaError], message: str
) -> None:
    server = fake_server()
    with pytest.raises(kind) as raised:
        await setting(server, **{name: value})
    assert raised.value.message == message
    assert await setting(server) == DEFAULTS


async def test_what_comes_before_an_error_is_changed_and_applied() -> None:
    server = fake_server()
    with pytest.raises(InvalidArgument):
        await setting(server, log_format={"string_param": "x"}, log_info={"bool_param": False})
    assert await setting(server) == {**DEFAULTS, "log_info": False}
    assert server.logging.applied["log_info"] is False
