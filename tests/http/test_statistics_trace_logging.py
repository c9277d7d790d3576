import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.asking import ask_app

from despina.errors import InvalidArgument
from despina.http.app import Application
from despina.http.endpoints import logging, statistics, trace
from despina.http.routes import Routes
from despina.protocol.decode import Limits
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.tracing.settings import TraceSettings

LOGGING = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


class FakeModels:
    def versions(self, name: str) -> list[int]:
        return [1] if name == "digits" else []

    def statistics_of(self, name: str | None, version: int | None) -> Sequence[Any]:
        if name == "nope":
            raise InvalidArgument("requested model 'nope' is not available")
        return [SimpleNamespace(name=name or "all", version=version or 9, statistics=ModelStatistics())]


class FakeLogging(SimpleNamespace):
    def apply(self) -> None:
        self.applied = {key: vars(self)[key] for key in LOGGING}

    @property
    def switches(self) -> dict[str, object]:
        return {key: vars(self)[key] for key in LOGGING if key != "log_file"}


def fake_server() -> Any:
    return SimpleNamespace(
        settings=SimpleNamespace(http_restricted_api={}),
        models=FakeModels(),
        limits=Limits(),
        trace=TraceSettings(),
        logging=FakeLogging(**LOGGING, applied={}),
    )


async def ask(server: Any, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """Status and parsed body; every answer is JSON."""
    app = Application(server, Routes((*statistics.ENDPOINTS, *trace.ENDPOINTS, *logging.ENDPOINTS)))
    status, headers, answer = await ask_app(app, method, path, body)
    assert headers["content-type"] == "application/json"
    return status, json.loads(answer)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v2/models/stats", ("all", "9")),
        ("/v2/models/digits/stats", ("digits", "9")),
        ("/v2/models/digits/versions/4/stats", ("digits", "4")),
    ],
)
async def test_statistics_are_asked_for_one_version_a_model_or_all(path: str, found: tuple[str, str]) -> None:
    status, body = await ask(fake_server(), "GET", path)
    (entry,) = body["model_stats"]
    assert (status, (entry["name"], entry["version"])) == (200, found)


TRACE = "/v2/trace/setting"
MODEL_TRACE = "/v2/models/digits/trace/setting"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/v2/models/nope/stats", b"", 400, "requested model 'nope' is not available"),
        ("POST", "/v2/models/digits/stats", b"", 405, "Method Not Allowed"),
        ("POST", TRACE, b'{"trace_file":null}', 501, "trace file location can not be updated through network protocol"),
        ("POST", TRACE, b'{"trace_rate":"many"}', 400, "Unable to parse 'trace_rate', got: many"),
        ("POST", TRACE, b'{"trace_rate":5}', 500, "attempt to access JSON non-string as string"),
        ("POST", TRACE, b'{"trace_level":"OFF"}', 500, "attempt to access JSON non-array as array"),
        ("POST", TRACE, b'{"trace_level":[1]}', 500, "attempt to access JSON non-string as string"),
        ("POST", TRACE, b'{"trace_level":["OFF",1]}', 400, "Expect only one trace level 'OFF' is specified"),
        ("POST", TRACE, b'{"log_frequency":"abc"}', 400, "Unable to parse 'log_frequency', got: abc"),
        (
            "POST",
            MODEL_TRACE,
            b'{"trace_level":["TIMESTAMPS"]}',
            400,
            "Attempting to set invalid trace setting :trace file name is not given",
        ),
        ("POST", TRACE, b"", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ("PUT", TRACE, b"{}", 405, "Method Not Allowed"),
        ("GET", "/v2/models/nope/trace/setting", b"", 400, "Request for unknown model : nope"),
        ("POST", "/v2/models/nope/trace/setting", b"{}", 400, "Request for unknown model : nope"),
        ("GET", "/v2/models/digits/versions/1/trace/setting", b"", 404, "Not Found"),
        (
            "POST",
            "/v2/logging",
            b'{"log_file":"x"}',
            501,
            "log file location can not be updated through network protocol",
        ),
        ("POST", "/v2/logging", b'{"log_info":1}', 500, "attempt to access JSON non-boolean as boolean"),
        (
            "POST",
            "/v2/logging",
            b'{"log_verbose_level":-1}',
            500,
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        ("POST", "/v2/logging", b'{"log_format":"iso"}', 503, "invalid argument for --log_format, got: iso"),
        ("POST", "/v2/logging", b"", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ("DELETE", "/v2/logging", b"", 405, "Method Not Allowed"),
    ],
)
async def test_wrong_requests_change_nothing(method: str, path: str, body: bytes, status: int, error: str) -> None:
    server = fake_server()
    assert await ask(server, method, path, body) == (status, {"error": error})
    assert server.trace.render() == TraceSettings().render()
    assert {key: getattr(server.logging, key) for key in LOGGING} == LOGGING


async def test_trace_settings_are_answered_after_the_change() -> None:
    server = fake_server()
    assert await ask(server, "POST", MODEL_TRACE, b'{"trace_rate":"-1","trace_count":"3"}') == (
        200,
        {**TraceSettings().render(), "trace_rate": "4294967295", "trace_count": "3"},
    )
    assert await ask(server, "GET", TRACE) == (200, TraceSettings().render())
    assert await ask(server, "POST", MODEL_TRACE, b'{"trace_rate":null,"trace_count":null}') == (
        200,
        TraceSettings().render(),
    )


@pytest.mark.parametrize("body", [b"[]", b"false", b"{}", b'{"other":1}'])
async def test_a_body_without_settings_changes_none(body: bytes) -> None:
    server = fake_server()
    assert await ask(server, "POST", TRACE, body) == (200, TraceSettings().render())
    assert await ask(server, "POST", "/v2/logging", body) == (200, LOGGING)


@pytest.mark.parametrize("levels", [[], ["nope"]])
def test_levels_none_of_which_is_known_change_nothing(levels: list[str]) -> None:
    assert trace.read_changes({"trace_level": levels, "trace_rate": "5"}) == {"rate": 5}
    assert trace.read_changes({"trace_level": ["OFF"]}) == {"levels": ()}


async def test_of_a_setting_that_comes_twice_the_first_counts() -> None:
    server = fake_server()
    _, changed = await ask(server, "POST", TRACE, b'{"trace_rate":"7","trace_rate":5}')
    assert changed["trace_rate"] == "7"
    _, changed = await ask(server, "POST", "/v2/logging", b'{"log_info":false,"log_info":null}')
    assert changed["log_info"] is False


@pytest.mark.parametrize(("given", "level"), [((1 << 31) - 1, (1 << 31) - 1), (1 << 31, 0), (1 << 32, 0)])
async def test_a_log_level_has_32_bits(given: int, level: int) -> None:
    _, changed = await ask(fake_server(), "POST", "/v2/logging", b'{"log_verbose_level":%d}' % given)
    assert changed["log_verbose_level"] == level


async def test_texts_end_at_a_nul() -> None:
    server = fake_server()
    status, answer = await ask(server, "POST", TRACE, b'{"trace_rate":"many\\u0000x"}')
    assert (status, answer["error"]) == (400, "Unable to parse 'trace_rate', got: many")
    assert (await ask(server, "POST", "/v2/logging", b'{"log_format":"ISO8601\\u0000"}'))[0] == 200


async def test_log_settings_change_and_null_leaves_them() -> None:
    server = fake_server()
    body = b'{"log_warning":false,"log_info":null,"log_file":null,"log_verbose_level":2,"log_format":"ISO8601"}'
    changed = {**LOGGING, "log_warning": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert await ask(server, "POST", "/v2/logging", body) == (200, changed)
    assert await ask(server, "GET", "/v2/logging") == (200, changed)
    assert server.logging.applied == changed


async def test_an_error_leaves_the_log_settings_before_it_changed_and_applied() -> None:
    server = fake_server()
    status, _ = await ask(server, "POST", "/v2/logging", b'{"log_format":"iso","log_error":false}')
    assert status == 503
    assert server.logging.applied == {**LOGGING, "log_error": False}
