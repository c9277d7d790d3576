import pytest
from tests.support.grpc_methods import ask_method

from despina.errors import InvalidArgument
from despina.server import Server
from despina.telemetry.statistics_json import render


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("multi_all", "2", [("multi_all", "2")]),
        ("multi_all\0x", "", [("multi_all", "1"), ("multi_all", "2"), ("multi_all", "3")]),
        (
            "",
            "7",
            [("add_sub_int32", "1"), ("multi_all", "1"), ("multi_all", "2"), ("multi_all", "3"), ("scalar_out", "1")],
        ),
    ],
)
async def test_statistics_are_asked_for_one_version_a_model_or_all(
    server: Server, name: str, version: str, found: list[tuple[str, str]]
) -> None:
    answer = await ask_method(server, "ModelStatistics", name=name, version=version)
    assert [(stats.name, stats.version) for stats in answer.model_stats] == found


async def test_numbers_are_those_of_the_http_answer(server: Server) -> None:
    statistics = server.models.get("add_sub_int32", 1).statistics
    statistics.success.add(3, 500)
    statistics.inference_count = 3
    (answer,) = (await ask_method(server, "ModelStatistics", name="add_sub_int32")).model_stats
    expected = render("add_sub_int32", 1, statistics)
    assert answer.inference_count == expected["inference_count"] == 3
    assert (answer.inference_stats.success.count, answer.inference_stats.success.ns) == (3, 500)
    assert answer.inference_stats.HasField("cache_miss")


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("nope", "", "requested model 'nope' is not available"),
        ("multi_all", "9", "requested model version is not available for model 'multi_all'"),
        (
            "nope",
            "x",
            "failed to get model version from specified version string 'x' (details: stol), version should be an "
            "integral value > 0",
        ),
    ],
)
async def test_what_is_not_served_has_none(server: Server, name: str, version: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await ask_method(server, "ModelStatistics", name=name, version=version)
    assert raised.value.message == message
