"""The same scripts and requests through azureml-inference-server-http and through ours.

Every answer must be the same but for what varies by nature (ids made up, times) and for the differences listed in
WANTED, each with its reason; those must really differ, so that the list cannot outlive them.
"""

import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.score_app import SCHEMA

pytest.importorskip("azureml_inference_server_http")
pytest.importorskip("gunicorn")

HEADERS = ("content-type", "x-ms-run-function-failed", "x-ms-request-id", "x-request-id", "x-ms-client-request-id")
HEADERS += ("traceid", "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers")
HEADERS += ("vary", "x-list", "allow")
MADE_UP = {"x-request-id", "x-ms-request-id"}

PLAIN = """
import numpy
def init(): pass
def run(data):
    if data == "raise": raise ValueError("no")
    if data == "slow":
        while True: pass
    if data == "none": return None
    if data == "object": return object()
    if data == "numpy": return numpy.arange(3)
    if data == "nan": return float("nan")
    return {"got": data}
"""

RAW = """
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
def init(): pass
@rawhttp
def run(request):
    if request.args.get("status"):
        return AMLResponse("down", int(request.args["status"]))
    if request.args.get("json"):
        return AMLResponse({"a": 1}, 200, {}, True)
    if request.args.get("empty"):
        return AMLResponse(None, 200)
    if request.args.get("stream"):
        return AMLResponse((c for c in "abc"), 200)
    if request.args.get("list"):
        return AMLResponse(b"x", 201, {"Content-Type": "image/png", "X-List": "a, b"})
    if request.args.get("files"):
        return {name: (one.filename, one.read().decode()) for name, one in request.files.items()}
    return {"method": request.method, "body": request.get_data(False).decode(), "path": request.full_path,
            "header": request.headers.get("X-A"), "form": dict(request.form)}
"""

ASYNC = "async def run(data): return {'got': data}\ndef init(): pass\n"

HEADER_ARGUMENT = "def init(): pass\ndef run(request_headers, data): return request_headers.get('X-A')\n"

SCRIPTS = {"plain": PLAIN, "raw": RAW, "async": ASYNC, "headers": HEADER_ARGUMENT, "schema": SCHEMA}


@dataclass(frozen=True)
class Case:
    name: str
    script: str
    method: str = "POST"
    path: str = "/score"
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}
MULTIPART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="p.txt"\r\n\r\nbytes\r\n--b--\r\n'

CASES = [
    Case("text", "plain", body=b"hello", headers=TEXT),
    Case("text in UTF-8", "plain", body="è".encode(), headers=TEXT),
    Case("no body", "plain"),
    Case("bad UTF-8", "plain", body=b"\xff", headers=TEXT),
    Case("query", "plain", "GET", "/score?a=1&b=[1,2]&c=x&d=null&e=1&e=y&f="),
    Case("form encoding", "plain", body=b'{"data": 1}', headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("raise", "plain", body=b"raise", headers=TEXT),
    Case("slow", "plain", body=b"slow", headers=TEXT),
    Case("None", "plain", body=b"none", headers=TEXT),
    Case("object", "plain", body=b"object", headers=TEXT),
    Case("numpy", "plain", body=b"numpy", headers=TEXT),
    Case("nan", "plain", body=b"nan", headers=TEXT),
    Case("put", "plain", "PUT", body=b"x"),
    Case("delete", "plain", "DELETE"),
    Case("head of score", "plain", "HEAD"),
    Case("options", "plain", "OPTIONS"),
    Case("options of health", "plain", "OPTIONS", "/"),
    Case("unknown path", "plain", "GET", "/v2/health/ready"),
    Case("trailing slash", "plain", path="/score/", body=b"x", headers=TEXT),
    Case("health", "plain", "GET", "/"),
    Case("post to health", "plain", "POST", "/", body=b"x"),
    Case("head of health", "plain", "HEAD", "/"),
    Case("swagger of no such version", "plain", "GET", "/swagger.json?version=9"),
    Case("id", "plain", body=b"x", headers={**TEXT, "x-request-id": "mine"}),
    Case("client id", "plain", body=b"x", headers={**TEXT, "x-ms-client-request-id": "mine"}),
    Case("old id", "plain", body=b"x", headers={**TEXT, "x-ms-request-id": "mine"}),
    Case(
        "three ids",
        "plain",
        body=b"x",
        headers={"x-request-id": "a", "x-ms-request-id": "b", "x-ms-client-request-id": "c", **TEXT},
    ),
    Case("long id", "plain", body=b"x", headers={**TEXT, "x-request-id": "a" * 101}),
    Case("long client id", "plain", body=b"x", headers={**TEXT, "x-ms-client-request-id": "a" * 101}),
    Case("empty id", "plain", body=b"x", headers={**TEXT, "x-request-id": ""}),
    Case("trace", "plain", body=b"x", headers={**TEXT, "TraceId": "t"}),
    Case("origin", "plain", body=b"x", headers={**TEXT, "Origin": "http://a.com"}),
    Case("other origin", "plain", body=b"x", headers={**TEXT, "Origin": "http://z.com"}),
    Case(
        "preflight",
        "plain",
        "OPTIONS",
        headers={
            "Origin": "http://a.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-A",
        },
    ),
    Case("raw post", "raw", path="/score?q=1", body=b"hello", headers={**TEXT, "X-A": "1"}),
    Case("raw without query", "raw", body=b"hello", headers=TEXT),
    Case("raw get", "raw", "GET"),
    Case("raw options", "raw", "OPTIONS"),
    Case("raw put", "raw", "PUT", body=b"x"),
    Case("raw form", "raw", body=b"a=1&b=2", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case(
        "raw files",
        "raw",
        path="/score?files=1",
        body=MULTIPART,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    ),
    Case("raw list", "raw", path="/score?list=1", body=b""),
    Case("raw json", "raw", path="/score?json=1", body=b""),
    Case("raw empty", "raw", path="/score?empty=1", body=b""),
    Case("raw stream", "raw", path="/score?stream=1", body=b""),
    Case("raw 503", "raw", path="/score?status=503", body=b""),
    Case("raw 404", "raw", path="/score?status=404", body=b""),
    Case("async", "async", body=b"hello", headers=TEXT),
    Case("header argument", "headers", body=b"hello", headers={**TEXT, "X-A": "1"}),
    Case("arguments", "schema", body=b'{"data": [[1, 2], [3, 4]], "scale": 3}', headers=JSON),
    Case("default argument", "schema", body=b'{"data": [[1, 2]]}', headers=JSON),
    Case("extra argument", "schema", body=b'{"data": [[1, 2]], "more": 1}', headers=JSON),
    Case("arguments from query", "schema", "GET", "/score?data=[[1,2]]&scale=10"),
    Case("missing argument", "schema", body=b'{"scale": 3}', headers=JSON),
    Case("wrong shape", "schema", body=b'{"data": [[1, 2, 3]]}', headers=JSON),
    Case("wrong type", "schema", body=b'{"data": "x"}', headers=JSON),
    Case("not JSON", "schema", body=b"{", headers=JSON),
    Case("not an object", "schema", body=b"[1]", headers=JSON),
    Case("no JSON", "schema", headers=JSON),
    Case("not said to be JSON", "schema", body=b'{"data": [[1, 2]]}', headers=TEXT),
    Case(
        "JSON with charset",
        "schema",
        body=b'{"data": [[1, 2]]}',
        headers={"Content-Type": "application/json; charset=utf-8"},
    ),
]

WANTED = {
    "form encoding": "the raw body, whatever its content type; theirs hands the script an empty string and fails",
    "numpy": "arrays and scalars of NumPy become JSON; theirs answers 500",
    "async": "async run() works; theirs answers 500",
    "put": "ids and Allow on every answer, 405 too",
    "delete": "ids and Allow on every answer, 405 too",
    "raw put": "ids and Allow on every answer, 405 too",
    "post to health": "ids and Allow on every answer, 405 too",
    "unknown path": "ids on every answer, 404 too; our words",
    "trailing slash": "ids on every answer, 404 too; our words",
    "raw form": "the body and the form of one request can both be read; theirs gives an empty form after get_data",
    "empty id": "an empty id is made up like a missing one; theirs leaves it out of the answer",
    "health": "the run-function header on every answer of the worker",
    "head of health": "the run-function header on every answer of the worker",
    "options of health": "the run-function header on every answer of the worker",
}


@contextmanager
def server(command: list[str], folder: Path) -> Iterator[int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = {**os.environ, "SCORING_TIMEOUT_MS": "500", "AML_CORS_ORIGINS": "http://a.com"}
    environment.pop("AZUREML_MODEL_DIR", None)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        wait_until_open(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def wait_until_open(port: int, process: "subprocess.Popen[bytes]") -> None:
    # Another project's server: nothing but its port says when it is up.
    for _ in range(300):
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server did not open its port in 30 s")


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, int]]]:
    """Theirs and ours, for each script."""
    theirs = [sys.executable, "-m", "azureml_inference_server_http", "--entry_script", "score.py"]
    ours = [sys.executable, "-c", "from despina.cli.score import score; score()", "--entry-script", "score.py"]
    with ExitStack() as stack:
        running = {}
        for name, text in SCRIPTS.items():
            folders = [tmp_path_factory.mktemp(f"{name}-{who}") for who in ("theirs", "ours")]
            for folder in folders:
                (folder / "score.py").write_text(text)
            running[name] = (
                stack.enter_context(server(theirs, folders[0])),
                stack.enter_context(server(ours, folders[1])),
            )
        yield running


def ask(port: int, case: Case) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(case.method, case.path, case.body, case.headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    headers: dict[str, Any] = {name: answer.headers.get_all(name) for name in HEADERS}
    if "x-request-id" not in case.headers:
        headers |= {name: True for name in MADE_UP if headers[name] and len(headers[name][0]) == 36}
    return {
        "status": answer.status,
        "body": body,
        "timed": answer.headers.get("x-ms-run-fn-exec-ms") is not None,
    } | headers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answers_are_the_same_but_for_the_wanted_differences(ports: dict[str, tuple[int, int]], case: Case) -> None:
    if case.script == "schema" and importlib.util.find_spec("inference_schema") is None:
        pytest.skip("inference-schema is not installed")
    theirs, ours = (ask(port, case) for port in ports[case.script])
    if case.name in WANTED:
        assert ours != theirs, "no difference any more: take it off the list"
    else:
        assert ours == theirs


@pytest.mark.parametrize("version", ["2", "3", "3.1"])
@pytest.mark.parametrize("script", ["plain", "schema"])
def test_swagger_names_the_same_operations_and_schemas(
    ports: dict[str, tuple[int, int]], script: str, version: str
) -> None:
    case = Case("swagger", script, "GET", f"/swagger.json?version={version}")
    theirs, ours = (ask(port, case) for port in ports[script])
    assert ours["status"] == theirs["status"]
    documents = [json.loads(answer["body"]) for answer in (theirs, ours)]
    assert schemas(documents[1]) == schemas(documents[0])
    assert operations(documents[1]) == operations(documents[0])


def schemas(document: dict[str, Any]) -> Any:
    return document.get("definitions") or document.get("components", {}).get("schemas")


def operations(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (path, method, operation["operationId"])
        for path, methods in document.get("paths", {}).items()
        for method, operation in methods.items()
    }
