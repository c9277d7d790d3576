import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.asking import ask
from tests.support.serving import REPOSITORY, serving

TEXT_GEN = "/v2/models/text_gen"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    flags = ["--model-control-mode=explicit", "--load-model=text_gen", "--load-model=gather"]
    with serving(REPOSITORY, flags) as port:
        yield port


def test_an_answer_is_chunked_json(port: int) -> None:
    status, headers, body = ask(port, "POST", f"{TEXT_GEN}/generate", '{"id":"7","text_input":"a","temperature":1}')
    assert (status, headers["content-type"], headers["transfer-encoding"]) == (200, "application/json", "chunked")
    assert body == b'{"id":"7","model_name":"text_gen","model_version":"1","score":2.0,"text_output":"a"}'


def test_a_streamed_answer_is_an_event(port: int) -> None:
    status, headers, body = ask(port, "POST", f"{TEXT_GEN}/generate_stream", '{"text_input":"a","temperature":1}')
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert body == b'data: {"model_name":"text_gen","model_version":"1","score":2.0,"text_output":"a"}\n\n'


def test_an_error_of_the_model_decides_the_status_of_the_stream(port: int) -> None:
    status, headers, body = ask(port, "POST", "/v2/models/gather/generate_stream", '{"IDX":[99]}')
    assert (status, headers["transfer-encoding"]) == (500, "chunked")
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert body.startswith(b'data: {"error":"onnx runtime error')
    assert body.endswith(b"\n\n")


def test_an_error_before_the_model_is_an_ordinary_answer(port: int) -> None:
    status, headers, body = ask(port, "POST", f"{TEXT_GEN}/generate_stream", "{}")
    assert (status, headers["content-type"]) == (400, "application/json")
    assert int(headers["content-length"]) == len(body)
    assert "expected 2 inputs but got 0 inputs" in json.loads(body)["error"]


def test_answers_are_never_compressed_and_requests_must_not_be(port: int) -> None:
    body = '{"text_input":"a","temperature":1}'
    _, headers, _ = ask(port, "POST", f"{TEXT_GEN}/generate", body, {"Accept-Encoding": "gzip"})
    assert "content-encoding" not in headers
    status, _, text = ask(port, "POST", f"{TEXT_GEN}/generate", body, {"Content-Encoding": "gzip"})
    assert (status, text) == (400, b'{"error":"Unsupported content-encoding, only \'identity\' is supported."}')


def test_metrics_in_the_response_are_not_to_be_had(port: int) -> None:
    body = '{"text_input":"a","temperature":1}'
    status, headers, _ = ask(port, "POST", f"{TEXT_GEN}/generate", body, {"endpoint-load-metrics-format": "json"})
    assert status == 200
    assert "endpoint-load-metrics" not in headers


def test_every_way_to_infer_is_traced(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    flags = [f"--trace-config=triton,file={path}", "--trace-config=level=TIMESTAMPS", "--trace-config=rate=1"]
    with serving(REPOSITORY, ["--model-control-mode=explicit", "--load-model=text_gen", *flags]) as port:
        for number, action in enumerate(("generate", "generate_stream")):
            ask(port, "POST", f"{TEXT_GEN}/{action}", f'{{"id":"{number}","text_input":"a","temperature":1}}')
        ask(port, "POST", f"{TEXT_GEN}/generate", '{"id":"an input is missing"}')
        ask(port, "POST", f"{TEXT_GEN}/generate", "no JSON")
    entries = json.loads(path.read_text())
    assert [entry["request_id"] for entry in entries if "model_name" in entry] == ["0", "1"]
    stamps = [stamp["name"] for entry in entries for stamp in entry.get("timestamps", [])]
    assert stamps.count("HTTP_SEND_END") == 4
    assert stamps.count("COMPUTE_END") == 2
