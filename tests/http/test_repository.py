import asyncio
import base64
import json
import time
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from despina.errors import DespinaError
from despina.http.endpoints.repository import ENDPOINTS, decode_base64, read_load_parameters
from despina.protocol.decode import Limits


class Recorder:
    def __init__(self):
        self.calls = []

    async def index(self, ready_only):
        self.calls.append(("index", ready_only))
        return [{"name": "m", "version": "1", "state": "READY"}]

    async def load(self, name, parameters):
        self.calls.append(("load", name, parameters))

    async def in_repository(self, name):
        return name == "my model"

    async def unload(self, name, unload_dependents):
        self.calls.append(("unload", name, unload_dependents))


def call(path, body=b"", **path_params):
    """The answer of the endpoint at `path`, as (status, body), and what it asked of the models."""
    handle = next(endpoint.handle for endpoint in ENDPOINTS if endpoint.path == path)

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "path_params": path_params}
    models = Recorder()
    try:
        response = asyncio.run(handle(Request(scope, receive), SimpleNamespace(models=models, limits=Limits(1000))))
    except DespinaError as error:
        return error.status, error.message, models.calls
    assert response.headers["content-type"] == "application/json"
    return response.status_code, bytes(response.body), models.calls


LOAD = "/v2/repository/models/{model}/load"
UNLOAD = "/v2/repository/models/{model}/unload"


def test_every_path_is_a_post_of_the_model_repository_api():
    assert sorted(endpoint.path for endpoint in ENDPOINTS) == [
        "/v2/repository/index",
        "/v2/repository/models/{model}/load",
        "/v2/repository/models/{model}/unload",
        "/v2/repository/{repo}/index",
        "/v2/repository/{repo}/models/{model}/load",
        "/v2/repository/{repo}/models/{model}/unload",
    ]
    assert {(endpoint.methods, endpoint.category) for endpoint in ENDPOINTS} == {(("POST",), "model-repository")}


@pytest.mark.parametrize(
    ("body", "ready_only"), [(b"", False), (b"{}", False), (b'{"ready":true}', True), (b'{"ready":false}', False)]
)
def test_the_index_may_be_of_ready_versions_only(body, ready_only):
    for path in ("/v2/repository/index", "/v2/repository/{repo}/index"):
        status, answer, calls = call(path, body, repo="x")
        assert (status, calls) == (200, [("index", ready_only)])
        assert json.loads(answer) == [{"name": "m", "version": "1", "state": "READY"}]


@pytest.mark.parametrize("value", [b"null", b'"yes"', b"1"])
def test_ready_is_a_boolean(value):
    answer = call("/v2/repository/index", b'{"ready":' + value + b"}")
    assert answer == (400, "Invalid value for 'ready': expected a boolean", [])


@pytest.mark.parametrize("path", ["/v2/repository/index", LOAD, UNLOAD])
def test_a_body_that_is_no_json_is_an_internal_error(path):
    status, message, calls = call(path, b"hello", model="m")
    assert status == 500
    assert message.startswith("failed to parse the request JSON buffer: ")
    assert calls == []


@pytest.mark.parametrize("action", ["load", "unload"])
def test_naming_the_repository_is_refused_before_the_body_is_read(action):
    answer = call(f"/v2/repository/{{repo}}/models/{{model}}/{action}", b"hello", repo="x", model="m")
    assert answer == (501, "'repository_name' specification is not supported", [])


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        (b"", {}),
        (b"{}", {}),
        (b"[]", {}),
        (b'{"parameters":{}}', {}),
        (b'{"parameters":{"config":"{}"}}', {"config": "{}"}),
        (b'{"parameters":{"config":"{}","file:1/a":"QUI="}}', {"config": "{}", "file:1/a": b"AB"}),
        (b'{"parameters":{"config":"{}","config":1}}', {"config": "{}"}),
        (b'{"parameters":{"file:1/a":"QUI=","file:1/a":""}}', {"file:1/a": b"AB"}),
        (b'{"parameters":{"config":"{}"},"parameters":{}}', {"config": "{}"}),
    ],
)
def test_a_load_carries_its_parameters(body, parameters):
    assert call(LOAD, body, model="m") == (200, b"", [("load", "m", parameters)])


def test_many_files_of_a_load_are_not_each_looked_for_in_all_of_the_body():
    files = {f"file:1/{number}": "" for number in range(40_000)}
    started = time.process_time()
    assert len(read_load_parameters(json.dumps({"parameters": files}).encode())) == 40_000
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("name", "meant"),
    [("my%20model", "my model"), ("no%20model", "no%20model"), ("a%2Fb", "a%2Fb"), ("%20", "%20"), ("m", "m")],
)
def test_a_quoted_name_is_that_of_a_model_if_a_repository_has_it(name, meant):
    assert call(LOAD, model=name) == (200, b"", [("load", meant, {})])
    assert call(UNLOAD, model=name) == (200, b"", [("unload", meant, False)])


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (b'{"config":{"max_batch_size":4}}', "attempt to access JSON non-string as string"),
        (b'{"colour":1}', "attempt to access JSON non-string as string"),
        (b'{"colour":"blue"}', "unexpected error on creating Triton parameter"),
        (b'{"config\\u0000x":"{}"}', "attempt to access non-existing object member 'config'"),
        (b"[]", "attempt to get members for non-object"),
        (b"null", "attempt to get members for non-object"),
    ],
)
def test_parameters_of_a_load_that_are_none(parameters, text):
    assert call(LOAD, b'{"parameters":' + parameters + b"}", model="m") == (500, text, [])


@pytest.mark.parametrize(
    ("body", "unload_dependents"),
    [
        (b"", False),
        (b"{}", False),
        (b'{"parameters":{"unload_dependents":true}}', True),
        (b'{"parameters":{"unload_dependents":false}}', False),
        (b'{"parameters":{"unload_dependents":"yes"}}', False),
        (b'{"parameters":{"unload_dependents":true,"unload_dependents":false}}', True),
        (b'{"parameters":{"unload_dependents":true},"parameters":{}}', True),
        (b'{"parameters":[]}', False),
    ],
)
def test_an_unload_may_take_the_steps_along(body, unload_dependents):
    assert call(UNLOAD, body, model="m") == (200, b"", [("unload", "m", unload_dependents)])


def test_many_parameters_are_not_each_looked_for_in_all_of_the_body(monkeypatch):
    monkeypatch.setattr("despina.http.endpoints.repository._repeats", None)
    files = [f"file:1/{n}" for n in range(40)]
    body = json.dumps({"parameters": {"config": "{}", **dict.fromkeys(files, "")}}).encode()
    loaded = {"config": "{}", **dict.fromkeys(files, b"")}
    assert call(LOAD, body, model="m") == (200, b"", [("load", "m", loaded)])


@pytest.mark.parametrize(
    ("action", "body"),
    [
        (LOAD, b'{"parameters":{"config":"{}"},"other":[{"a":1,"a":2}]}'),
        (UNLOAD, b'{"parameters":{"unload_dependents":false},"other":[{"a":1,"a":2}]}'),
    ],
)
def test_a_body_that_repeats_no_key_that_counts_is_not_left_to_the_slow_parser(action, body, monkeypatch):
    monkeypatch.setattr("despina.http.endpoints.repository.loads_first_wins", None)
    assert call(action, body, model="m")[0] == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        ("QUJD", b"ABC"),
        ("QU\nJD ", b"ABC"),
        ("QUI=", b"AB"),
        ("QUI", b"AB"),
        ("QQ", b"A"),
        ("Q", b""),
        ("QUJDR", b"ABC"),
        ("Q-U_J*D", b"ABC"),
        ("QUI=QUI=", base64.b64decode("QUIQUI==")),
    ],
)
def test_base64_is_read_leniently(text, expected):
    assert decode_base64(text) == expected


@pytest.mark.parametrize("path", ["/v2/repository/index", LOAD, UNLOAD])
def test_a_body_beyond_the_limit_is_refused_before_it_is_parsed(path):
    assert call(path, b"[" * 1001, model="m") == (
        400,
        "request JSON size of 1001 bytes exceeds the maximum allowed input size of 1000 bytes. Use "
        "--http-max-input-size to increase the limit.",
        [],
    )
