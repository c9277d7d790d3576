"""Requests against the WSGI application, without a server."""

import asyncio
import io
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.score.app import ScoreApp
from despina.deploy.score.script import ScriptError
from despina.deploy.score.settings import ScoreSettings
from despina.deploy.score.worker import start_worker


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def message(self) -> Any:
        return json.loads(self.body)["message"]


Start = Callable[..., ScoreApp]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an application from a script's text; undoes what that leaves in the interpreter."""
    path, modules = sys.path[:], dict(sys.modules)
    started: list[ScoreApp] = []

    def start(text: str, **settings: Any) -> ScoreApp:
        (tmp_path / "score.py").write_text(text)
        app = start_worker(ScoreSettings(app_root=tmp_path, entry_script=tmp_path / "score.py", **settings))
        started.append(app)
        return app

    yield start
    for app in started:
        app.close()
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        if name.startswith(("azureml", "entry_module", "inference_schema")):
            del sys.modules[name]


def ask(app: ScoreApp, method: str = "POST", path: str = "/score", body: bytes = b"", **headers: str) -> Answer:
    got: dict[str, Any] = {}
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.pop("content_type", ""),
        "wsgi.input": io.BytesIO(body),
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    chunks = app(environ, lambda status, headers: got.update(status=status, headers=headers))
    return Answer(int(got["status"].split()[0]), got["headers"], b"".join(chunks))


ECHO = "def init(): pass\ndef run(data): return {'got': data}\n"
RAW = "from azureml.contrib.services.aml_request import rawhttp\n"
RESPONSE = "from azureml.contrib.services.aml_response import AMLResponse\n"


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


@pytest.mark.parametrize("prefix", ["", "async "])
def test_slow_run_is_cut_off_even_if_it_swallows_exceptions(start: Start, prefix: str) -> None:
    app = start(
        f"calls = []\ndef init(): pass\n{prefix}def run(data):\n"
        "    calls.append(1)\n"
        "    while len(calls) == 1:\n        try: sum(range(1000))\n        except Exception: pass\n"
        "    return len(calls)\n",
        scoring_timeout_ms=50,
    )
    answer = ask(app)
    assert answer.status == 500
    assert answer.message == "Scoring timeout after 50 ms"
    assert answer.header("x-ms-run-function-failed") == "True"
    assert ask(app).body == b"2"


def test_run_is_not_cut_off_while_its_loop_is_made(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    new = asyncio.new_event_loop

    def slow() -> asyncio.AbstractEventLoop:
        made.append(new())
        time.sleep(0.1)
        return made[-1]

    script = "import asyncio\ndef init(): pass\nasync def run(data): await asyncio.sleep(float(data))\n"
    app = start(script, scoring_timeout_ms=50)
    with monkeypatch.context() as patched:
        patched.setattr("asyncio.events.new_event_loop", slow)
        assert ask(app, body=b"30").message == "Scoring timeout after 50 ms"
    assert [loop.is_closed() for loop in made] == [True]
    assert ask(app, body=b"0").status == 200


def test_loop_of_an_init_that_fails_is_closed(start: Start) -> None:
    script = (
        "import asyncio, sys\nasync def init():\n    sys.loop_of_init = asyncio.get_running_loop()\n    1 / 0\n"
        "def run(data): pass\n"
    )
    with pytest.raises(ScriptError):
        start(script)
    assert vars(sys).pop("loop_of_init").is_closed()


def test_no_alarm_is_left_behind(start: Start) -> None:
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGALRM, mine)
    try:
        app = start(ECHO, scoring_timeout_ms=60_000)
        assert ask(app).status == 200
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) is mine
    finally:
        signal.signal(signal.SIGALRM, before)


def test_where_no_signal_comes_a_script_runs_without_a_limit(start: Start) -> None:
    app = start(ECHO, scoring_timeout_ms=60_000)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(ask, app).result().status == 200


def test_async_init_and_run_share_one_loop(start: Start) -> None:
    app = start(
        "import asyncio\n"
        "async def init():\n    global loop\n    loop = asyncio.get_running_loop()\n"
        "async def run(data):\n    await asyncio.sleep(0)\n    return loop is asyncio.get_running_loop()\n"
    )
    assert [ask(app).body, ask(app).body] == [b"true", b"true"]


def test_rawhttp_gets_the_request_and_answers_as_it_likes(start: Start) -> None:
    app = start(
        RAW + RESPONSE + "def init(): pass\n@rawhttp\n"
        "async def run(request):\n"
        "    data = await request.get_data()\n"
        "    return AMLResponse(data[::-1], 201, {'Content-Type': 'image/jpeg', 'X-List': 'a, b'})\n"
    )
    answer = ask(app, "OPTIONS", "/score", b"\x01\x02")
    assert (answer.status, answer.body) == (201, b"\x02\x01")
    assert answer.header("content-type") == "image/jpeg"
    assert [value for name, value in answer.headers if name == "X-List"] == ["a", "b"]
    assert answer.header("Content-Length") == "2"


@pytest.mark.parametrize(("status", "failed"), [(499, "False"), (500, "True"), (503, "True"), (599, "True")])
def test_answer_of_the_script_with_an_error_status_counts_as_failed(start: Start, status: int, failed: str) -> None:
    run = f"def run(data):\n    time.sleep(0.02)\n    return AMLResponse('down', {status})\n"
    answer = ask(start(RESPONSE + "import time\ndef init(): pass\n" + run))
    assert (answer.status, answer.body) == (status, b"down")
    assert answer.header("x-ms-run-function-failed") == failed
    assert float(answer.header("x-ms-run-fn-exec-ms") or "") >= 20


@pytest.mark.parametrize(
    ("message", "body", "kind"),
    [("None", b"{}", "application/json"), ("bytearray(b'x')", b"x", "text/html; charset=utf-8")],
)
def test_a_message_may_be_of_many_types(start: Start, message: str, body: bytes, kind: str) -> None:
    answer = ask(start(RESPONSE + f"def init(): pass\ndef run(data): return AMLResponse({message}, 200)\n"))
    assert (answer.body, answer.header("Content-Type")) == (body, kind)
    assert answer.header("Content-Length") == str(len(body))


def test_an_answer_that_was_looked_at_is_sent_all_the_same(start: Start) -> None:
    app = start(
        RESPONSE + "def init(): pass\ndef run(data):\n"
        "    answer = AMLResponse((c for c in 'abc'), 200)\n    answer.get_data()\n    return answer\n"
    )
    assert ask(app).body == b"abc"


def test_a_header_is_replaced_however_it_is_spelled(start: Start) -> None:
    app = start(
        RESPONSE + "def init(): pass\ndef run(data):\n"
        "    return AMLResponse('x', 200, {'X-MS-Run-Function-Failed': 'maybe', 'content-length': '7'})\n"
    )
    names = [name.lower() for name, _ in ask(app).headers]
    assert names.count("x-ms-run-function-failed") == names.count("content-length") == 1


def test_what_another_library_says_of_a_failure_stays(start: Start) -> None:
    app = start(
        "class Made:\n    def get_wsgi_response(self, environ):\n"
        "        return [b'x'], '200 OK', [('X-Ms-Run-Function-Failed', 'True')]\n"
        "def init(): pass\ndef run(data): return Made()\n"
    )
    assert ask(app).header("x-ms-run-function-failed") == "True"


@pytest.mark.parametrize(
    "arguments",
    ["99", "100", "1000", "200, {'X-A': 'b\\r\\nSet-Cookie: c'}", "200, {'X-A': '\\u20ac'}", "200, {'X A': 'b'}"],
)
def test_an_answer_that_http_cannot_carry_is_an_error_like_others(start: Start, arguments: str) -> None:
    app = start(RESPONSE + f"def init(): pass\ndef run(data): return AMLResponse('x', {arguments})\n")
    answer = ask(app)
    assert answer.status == 500
    assert answer.message == "An unexpected internal error occurred. Check the logs for more info."
    assert answer.header("X-A") is None


def test_generators_stream(start: Start) -> None:
    app = start(RESPONSE + "def init(): pass\ndef run(data): return AMLResponse((c for c in 'abc'), 200)\n")
    answer = ask(app)
    assert answer.body == b"abc"
    assert answer.header("Content-Length") is None


def test_request_headers_are_passed_when_asked_for(start: Start) -> None:
    app = start("def init(): pass\ndef run(request_headers, data): return request_headers\n")
    assert json.loads(ask(app, content_type="text/plain", x_a="1").body) == {"Content-Type": "text/plain", "X-A": "1"}


def test_ids_and_trace_go_back_and_long_ones_are_refused(start: Start) -> None:
    app = start(ECHO)
    answer = ask(app, x_ms_client_request_id="mine", traceid="t")
    assert answer.header("x-ms-client-request-id") == "mine"
    assert answer.header("TraceId") == "t"
    assert len(answer.header("x-request-id") or "") == 36
    assert ask(app, x_request_id="a" * 101).status == 431


@pytest.mark.parametrize(
    ("allowed", "origin", "answered"),
    [
        (("http://a.com",), "http://a.com", "http://a.com"),
        (("http://A.com", "http://b.com"), "http://a.COM", "http://a.COM"),
        (("http://a.com",), "http://z.com", None),
        (("*",), "http://z.com", "http://z.com"),
        ((), "http://a.com", None),
    ],
)
def test_cross_origin_headers(start: Start, allowed: tuple[str, ...], origin: str, answered: str | None) -> None:
    app = start(ECHO, cors_origins=allowed)
    assert ask(app, origin=origin).header("Access-Control-Allow-Origin") == answered
    asked = ask(
        app, "OPTIONS", origin=origin, access_control_request_method="POST", access_control_request_headers="X-A"
    )
    assert asked.status == 200
    assert asked.header("Access-Control-Allow-Methods") == ("GET, POST" if answered else None)
    assert asked.header("Access-Control-Allow-Headers") == ("X-A" if answered else None)
    assert asked.header("Vary") == ("Origin" if answered and allowed != ("http://a.com",) else None)
    assert ask(app, "OPTIONS", origin=origin).header("Access-Control-Allow-Methods") is None


@pytest.mark.parametrize(
    ("allowed", "told"), [(("http://a.com",), "http://a.com"), (("http://a.com", "http://b"), None)]
)
def test_the_only_origin_is_told_to_who_names_none(start: Start, allowed: tuple[str, ...], told: str | None) -> None:
    assert ask(start(ECHO, cors_origins=allowed)).header("Access-Control-Allow-Origin") == told


def test_version_header_can_be_switched_off(start: Start) -> None:
    assert (ask(start(ECHO)).header("x-ms-server-version") or "").startswith("despina/")
    assert ask(start(ECHO, report_version=False)).header("x-ms-server-version") is None


def test_swagger_is_generated_in_three_versions(start: Start) -> None:
    app = start(ECHO, service_name="my-service", path_prefix="api/v1/service/my-service")
    two, three, latest = (
        json.loads(ask(app, "GET", f"/swagger.json{q}").body) for q in ("", "?version=3", "?version=3.1")
    )
    assert (two["swagger"], three["openapi"], latest["openapi"]) == ("2.0", "3.0.3", "3.1.0")
    for document in (two, three, latest):
        assert document["info"]["title"] == "my-service"
        assert "/api/v1/service/my-service/score" in document["paths"]


def test_authors_own_swagger_wins(start: Start, tmp_path: Path) -> None:
    (tmp_path / "swagger2.json").write_text('{"swagger": "2.0", "mine": true}')
    app = start(ECHO)
    assert json.loads(ask(app, "GET", "/swagger.json").body) == {"swagger": "2.0", "mine": True}
    assert "openapi" in json.loads(ask(app, "GET", "/swagger.json?version=3.0").body)
    (tmp_path / "swagger2.json").write_text("{")
    with pytest.raises(ScriptError, match="A swagger file in the app root cannot be read"):
        start(ECHO)


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


SCHEMA = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

def init(): pass

@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("scale", StandardPythonParameterType(2))
@output_schema(StandardPythonParameterType([1.0]))
def run(data, scale=2):
    return (data * scale).sum(axis=1).tolist()
"""


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b'{"data": [[1, 2], [3, 4]]}', "application/json", 200, None),
        (b'{"data": [[3, 7]], "scale": 0}', "application/json", 200, None),
        (b'{"data": [[1, 2]]}', "text/plain", 415, "Expects Content-Type to be application/json"),
        (b"", "application/json", 400, "POST body is empty. Expecting a JSON dictionary."),
        (b"[1]", "application/json", 400, "POST body should be a JSON dictionary."),
        (b'{"scale": 2}', "application/json", 400, "A value is not provided for the 'data' parameter."),
        (
            b'{"data": [[1, 2, 3]]}',
            "application/json",
            500,
            "An unexpected error occurred in scoring script. Check the logs for more info.",
        ),
    ],
)
def test_schemas_make_arguments(start: Start, body: bytes, content_type: str, status: int, message: str | None) -> None:
    pytest.importorskip("inference_schema")
    answer = ask(start(SCHEMA), body=body, content_type=content_type)
    assert answer.status == status
    if message is None:
        assert json.loads(answer.body) == ([0.0] if b"scale" in body else [6.0, 14.0])
    else:
        assert answer.message == message


def test_schemas_take_arguments_from_the_query_and_describe_themselves(start: Start) -> None:
    pytest.importorskip("inference_schema")
    app = start(SCHEMA)
    assert json.loads(ask(app, "GET", "/score?data=[[1,2]]&scale=10").body) == [30.0]
    document = json.loads(ask(app, "GET", "/swagger.json").body)
    assert document["definitions"]["ServiceInput"]["properties"].keys() == {"data", "scale"}
