import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from despina.errors import DespinaError, InvalidArgument
from despina.http.endpoints.infer import infer
from despina.http.forwarding import HeaderForwarding
from despina.http.request_templates import Templates
from despina.protocol.decode import Limits, no_shared_memory
from despina.protocol.messages import InferRequest

HEADERS = [("my_header", "v"), ("x-fwd-thing", "w"), ("other", "z")]


@pytest.mark.parametrize(
    ("pattern", "forwarded"),
    [
        ("my_.*|x-fwd.*", {"my_header": "v", "x-fwd-thing": "w"}),
        ("MY_", {"my_header": "v"}),
        ("th", {"x-fwd-thing": "w", "other": "z"}),
        ("^thing", {}),
    ],
)
def test_headers_whose_name_contains_a_match_become_parameters(pattern: str, forwarded: dict[str, str]) -> None:
    assert HeaderForwarding(pattern).parameters(HEADERS) == forwarded


@pytest.mark.parametrize(
    "name",
    [
        "sequence_id",
        "sequence_start",
        "sequence_end",
        "priority",
        "timeout",
        "headers",
        "binary_data_output",
        "triton_x",
    ],
)
def test_names_with_a_meaning_cannot_be_forwarded(name: str) -> None:
    with pytest.raises(DespinaError) as error:
        HeaderForwarding(".*").parameters([(name, "1")])
    assert error.value.status == 400
    assert error.value.message == f"Header '{name}' is reserved for Triton usage and cannot be forwarded."
    assert HeaderForwarding("my_").parameters([(name, "1")]) == {}


def test_a_pattern_that_is_none_is_an_error_at_start() -> None:
    with pytest.raises(InvalidArgument, match="invalid header forward pattern"):
        HeaderForwarding("(")


class RecordingModel:
    """Remembers what it is asked, and refuses it."""

    name = "m"
    trace = SimpleNamespace(active=False)

    def __init__(self) -> None:
        self.templates = Templates(self)  # type: ignore[arg-type]
        self.requests: list[InferRequest] = []

    def submit(self, request: InferRequest, on_done: object, trace: object, client: object) -> None:
        self.requests.append(request)
        raise InvalidArgument("seen")


def ask(body: bytes, headers: list[tuple[bytes, bytes]], pattern: str) -> tuple[bytes, RecordingModel]:
    model = RecordingModel()
    server = SimpleNamespace(
        models=SimpleNamespace(get=lambda name, version: model, versions=lambda name: [1]),
        limits=Limits(),
        find_region=no_shared_memory,
        forwarding=HeaderForwarding(pattern) if pattern else None,
        settings=SimpleNamespace(response_compression=True),
    )

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "path_params": {"model": "m"}}
    response = asyncio.run(infer(Request(scope, receive), server))  # type: ignore[arg-type]
    return bytes(response.body), model


def test_the_model_gets_the_headers_as_parameters_of_the_request() -> None:
    body = json.dumps({"inputs": [], "parameters": {"own": 1}}).encode()
    answer, model = ask(body, [(b"my_header", b"v"), (b"other", b"z")], "my_")
    assert answer == b'{"error":"seen"}'
    assert model.requests[0].parameters == {"own": 1, "my_header": "v"}


def test_binary_requests_get_them_too() -> None:
    document = {
        "inputs": [{"name": "x", "shape": [1], "datatype": "UINT8", "parameters": {"binary_data_size": 1}}],
    }
    head = json.dumps(document).encode()
    length = (b"inference-header-content-length", str(len(head)).encode())
    _, model = ask(head + b"\1", [length, (b"my_header", b"v")], "my_")
    assert model.requests[0].parameters == {"my_header": "v"}


def test_a_request_that_cannot_be_decoded_is_refused_for_that_first() -> None:
    answer, model = ask(b"{", [(b"priority", b"1")], ".*")
    assert b"failed to parse the request JSON buffer" in answer
    assert model.requests == []
    answer, model = ask(b'{"inputs":[]}', [(b"priority", b"1")], ".*")
    assert answer == b'{"error":"Header \'priority\' is reserved for Triton usage and cannot be forwarded."}'
    assert model.requests == []


def test_without_a_pattern_no_header_is_a_parameter() -> None:
    _, model = ask(b'{"inputs":[]}', [(b"my_header", b"v")], "")
    assert model.requests[0].parameters == {}
