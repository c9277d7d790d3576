"""Requests against the WSGI application, without a server."""

import json
import sys
from pathlib import Path

import pytest
from tests.support.score_app import ECHO, RESPONSE, Start, ask

from despina.deploy.score.script import ScriptError


def test_what_is_logged_are_requests_and_not_probes(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    app = start(ECHO)
    caplog.clear()
    with caplog.at_level("INFO", "despina.score"):
        ask(app, "GET", "/")
        ask(app)
    (line,) = caplog.messages
    assert line.startswith("POST /score 200 ")


def test_a_request_is_one_line_of_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    app = start(ECHO)
    caplog.clear()
    with caplog.at_level("INFO", "despina.score"):
        ask(app, path="/ü\n2026-01-01 00:00:00,000 I [1]\x1b[31m".encode().decode("latin-1"))
    (line,) = caplog.messages
    assert line.startswith("POST /ü%0A2026-01-01 00:00:00,000 I [1]%1B[31m 404 ")


def test_methods_of_a_path_are_told(start: Start) -> None:
    answer = ask(start(ECHO), "OPTIONS", "/")
    assert (answer.status, answer.body, answer.header("Allow")) == (200, b"", "GET, HEAD")


def test_plain_run_gets_the_body_as_text_whatever_its_type(start: Start) -> None:
    app = start(ECHO)
    answer = ask(app, body="è".encode(), content_type="application/x-www-form-urlencoded")
    assert answer.status == 200
    assert json.loads(answer.body) == {"got": "è"}
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("x-ms-run-function-failed") == "False"
    assert float(answer.header("x-ms-run-fn-exec-ms") or "") >= 0


def test_get_turns_the_query_into_json(start: Start) -> None:
    answer = ask(start(ECHO), "GET", "/score?a=1&b=[1,2]&c=x&d=null&e=1&e=y")
    assert json.loads(json.loads(answer.body)["got"]) == {"a": 1, "b": [1, 2], "c": "x", "d": None, "e": [1, "y"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("PUT", "/score", b"", 405, "The method is not allowed for the requested URL."),
        ("POST", "/", b"", 405, "The method is not allowed for the requested URL."),
        ("POST", "/score/", b"", 404, "The requested URL /score/ was not found on the server."),
        ("GET", "/v2/health/ready", b"", 404, "The requested URL /v2/health/ready was not found on the server."),
        ("POST", "/score", b"\xff", 400, None),
        ("HEAD", "/score", b"", 405, ""),
        (
            "GET",
            "/swagger.json?version=4",
            b"",
            404,
            "Swagger version [4] is not valid. Supported versions: [2, 3, 3.1].",
        ),
    ],
)
def test_errors_are_json_with_one_message(
    start: Start, method: str, path: str, body: bytes, status: int, message: str | None
) -> None:
    answer = ask(start(ECHO), method, path, body)
    assert answer.status == status
    assert answer.header("x-ms-run-function-failed") == "False"
    if message:
        assert json.loads(answer.body) == {"message": message}
    elif message is None:
        assert answer.message.startswith("Input cannot be decoded as UTF-8: ")


def test_health_and_head(start: Start) -> None:
    app = start(ECHO)
    assert ask(app, "GET", "/").body == b"Healthy"
    head = ask(app, "HEAD", "/")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("returned", "body"),
    [
        ("None", b"{}"),
        ("'text'", b'"text"'),
        ("[1, 2.5]", b"[1, 2.5]"),
        ("numpy.float32([[1, 2]])", b"[[1.0, 2.0]]"),
        ("{'a': numpy.int64(3)}", b'{"a": 3}'),
    ],
)
def test_results_become_json(start: Start, returned: str, body: bytes) -> None:
    app = start(f"import numpy\ndef init(): pass\ndef run(data): return {returned}\n")
    assert ask(app).body == body


def test_result_that_json_cannot_carry_is_an_internal_error(start: Start) -> None:
    answer = ask(start("def init(): pass\ndef run(data): return object()\n"))
    assert answer.status == 500
    assert answer.message == "An unexpected internal error occurred. Check the logs for more info."
    assert answer.header("x-ms-run-function-failed") == "False"


def test_raising_run_is_reported_without_its_traceback(start: Start) -> None:
    answer = ask(start("def init(): pass\ndef run(data): raise ValueError('secret')\n"))
    assert answer.status == 500
    assert answer.message == "An unexpected error occurred in scoring script. Check the logs for more info."
    assert answer.header("x-ms-run-function-failed") == "True"
    assert b"secret" not in answer.body


@pytest.mark.parametrize("end", ["sys.exit(1)", "raise asyncio.CancelledError", "raise BaseException"])
@pytest.mark.parametrize("prefix", ["", "async "])
def test_run_that_ends_in_another_way_is_a_failure_like_others(start: Start, prefix: str, end: str) -> None:
    script = f"import asyncio, sys\ndef init(): pass\n{prefix}def run(data):\n    if data: {end}\n    return 'here'\n"
    app = start(script)
    answer = ask(app, body=b"x")
    assert answer.status == 500
    assert answer.message == "An unexpected error occurred in scoring script. Check the logs for more info."
    assert answer.header("x-ms-run-function-failed") == "True"
    assert ask(app).body == b'"here"'


def test_loop_of_an_init_that_fails_is_closed(start: Start) -> None:
    script = (
        "import asyncio, sys\nasync def init():\n    sys.loop_of_init = asyncio.get_running_loop()\n    1 / 0\n"
        "def run(data): pass\n"
    )
    with pytest.raises(ScriptError):
        start(script)
    assert vars(sys).pop("loop_of_init").is_closed()


def test_async_init_and_run_share_one_loop(start: Start) -> None:
    app = start(
        "import asyncio\n"
        "async def init():\n    global loop\n    loop = asyncio.get_running_loop()\n"
        "async def run(data):\n    await asyncio.sleep(0)\n    return loop is asyncio.get_running_loop()\n"
    )
    assert [ask(app).body, ask(app).body] == [b"true", b"true"]


def test_generators_stream(start: Start) -> None:
    app = start(RESPONSE + "def init(): pass\ndef run(data): return AMLResponse((c for c in 'abc'), 200)\n")
    answer = ask(app)
    assert answer.body == b"abc"
    assert answer.header("Content-Length") is None


def test_request_headers_are_passed_when_asked_for(start: Start) -> None:
    app = start("def init(): pass\ndef run(request_headers, data): return request_headers\n")
    assert json.loads(ask(app, content_type="text/plain", x_a="1").body) == {"Content-Type": "text/plain", "X-A": "1"}


def test_installed_modules_come_before_those_beside_the_script(start: Start, tmp_path: Path) -> None:
    start(ECHO)
    start(ECHO)
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_of_a_large_model_directory_the_first_lines_are_shown(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models").mkdir()
    for number in range(200):
        (tmp_path / "models" / f"{number:03}").touch()
    with caplog.at_level("INFO", "despina.score"), pytest.raises(ScriptError):
        start("def init(): 1 / 0\ndef run(data): pass\n", model_directory=tmp_path / "models")
    assert caplog.messages[-3:-1] == ["    198", "only the first 200 lines are shown"]
