from pathlib import Path
from typing import Any

import pytest
from tests.support.grpc_methods import ask_method

from despina.errors import DespinaError, InvalidArgument, Unsupported
from despina.grpc.messages import message_class
from despina.server import Server

MODEL = "add_sub_int32"


async def setting(server: Server, model: str = "", **values: list[str]) -> dict[str, list[str]]:
    """The settings in force after these were changed."""
    made = {name: message_class("TraceSettingRequest").SettingValue(value=value) for name, value in values.items()}
    answer = await ask_method(server, "TraceSetting", model_name=model, settings=made)
    return {name: list(value.value) for name, value in answer.settings.items()}


async def test_settings_are_lists_of_texts(server: Server, tmp_path: Path) -> None:
    assert await setting(server) == {
        "trace_level": ["OFF"],
        "trace_rate": ["1000"],
        "trace_count": ["-1"],
        "log_frequency": ["0"],
        "trace_file": [str(tmp_path / "traces")],
        "trace_mode": ["triton"],
    }


async def test_a_model_follows_the_server_until_it_has_settings_of_its_own(server: Server) -> None:
    changed = await setting(server, trace_level=["TENSORS", "TIMESTAMPS"], trace_rate=["5"], trace_count=["7"])
    assert (changed["trace_level"], changed["trace_rate"]) == (["TIMESTAMPS", "TENSORS"], ["5"])
    own = await setting(server, f"{MODEL}\0x", trace_level=["OFF"], trace_rate=["8\0"], trace_count=["3"])
    assert (own["trace_level"], own["trace_rate"], own["trace_count"]) == (["OFF"], ["8"], ["3"])
    assert await setting(server) == changed
    inherited = await setting(server, MODEL, trace_level=[], trace_rate=[], trace_count=[], log_frequency=[])
    assert inherited == changed


@pytest.mark.parametrize("values", [{"trace_level": ["nope"]}, {"trace_level": [""]}, {"other": ["x"]}])
async def test_what_nobody_knows_changes_nothing(server: Server, values: dict[str, list[str]]) -> None:
    before = await setting(server, trace_level=["TENSORS"], trace_rate=["5"])
    assert await setting(server, **values) == before


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"trace_file": ["x"]}, Unsupported, "trace file location can not be updated through network protocol"),
        ({"trace_file": []}, Unsupported, "trace file location can not be updated through network protocol"),
        ({"trace_level": ["TENSORS", "OFF"]}, InvalidArgument, "Expect only one trace level 'OFF' is specified"),
        ({"trace_rate": ["5", "6"]}, InvalidArgument, "expect only 1 value for 'trace_rate'"),
        ({"trace_count": ["5", "6"]}, InvalidArgument, "expect only 1 value for 'trace_count'"),
        ({"log_frequency": ["5", "6"]}, InvalidArgument, "expect only 1 value for 'log_frequency'"),
        ({"trace_rate": ["x"], "trace_count": ["y"]}, InvalidArgument, "Unable to parse 'trace_rate', got: x"),
        ({"trace_count": ["y"], "log_frequency": ["z"]}, InvalidArgument, "Unable to parse 'trace_count', got: y"),
        ({"trace_count": ["-2"]}, InvalidArgument, "Unable to parse 'trace_count'. Expecting value >= -1, got: -2"),
        (
            {"trace_rate": ["99999999999"]},
            InvalidArgument,
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: 99999999999",
        ),
        (
            {"trace_level": ["TENSORS"], "trace_rate": ["0"]},
            InvalidArgument,
            "Attempting to set invalid trace setting :sample rate must be non-zero",
        ),
    ],
)
@pytest.mark.parametrize("model", ["", MODEL])
async def test_a_setting_that_cannot_be_is_refused(
    server: Server, model: str, values: dict[str, list[str]], kind: type[DespinaError], message: str
) -> None:
    before = await setting(server, model)
    with pytest.raises(kind) as raised:
        await setting(server, model, **values)
    assert raised.value.message == message
    assert await setting(server, model) == before


@pytest.mark.parametrize("values", [{}, {"trace_rate": ["5"]}])
async def test_a_model_that_is_not_served_has_no_settings(server: Server, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await setting(server, "nope", **values)
    assert raised.value.message == "Request for unknown model : nope"
