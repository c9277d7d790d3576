import gzip
import json
from collections.abc import Mapping

import numpy as np
import pytest
from benchmarks.measurement import Point
from benchmarks.scenarios.answers import Content, FirstAnswers, has_outputs, read, same
from benchmarks.scenarios.region import region
from benchmarks.scenarios.scenario import Exchange
from benchmarks.verify import WrongAnswer
from tests.benchmarks.test_verify import answering, response

OUTPUTS = {"OUT0": np.array([[1.5, 2.0]], np.float32), "OUT1": np.array([["a", "bc"]], object)}
RAW = OUTPUTS["OUT0"].tobytes() + b"\1\0\0\0a\2\0\0\0bc"
REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POINT = Point("m", "json", 1)


def told(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    return {"outputs": [{"name": "OUT0", "shape": [1, 2], **first}, {"name": "OUT1", "shape": [1, 2], **second}]}


NUMBERS = {"data": [1.5, 2.0]}
STRINGS = {"data": ["a", "bc"]}
BINARY = told({"parameters": {"binary_data_size": 8}}, {"parameters": {"binary_data_size": 11}})


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (Content(told(NUMBERS, STRINGS), b""), True),
        (Content(BINARY, RAW), True),
        (Content(told(NUMBERS, {"parameters": {"binary_data_size": 11}}), RAW[8:]), True),
        (Content(told({"data": [1.5, 3.0]}, STRINGS), b""), False),
        (Content(told(NUMBERS, {"data": ["a", "b"]}), b""), False),
        (Content(told(NUMBERS, {**STRINGS, "shape": [2]}), b""), False),
        (Content(BINARY, RAW[:-1] + b"d"), False),
        (Content(BINARY, RAW + b"more"), False),
        (Content({"outputs": [{"name": "OUT0", "shape": [1, 2], **NUMBERS}]}, b""), False),
    ],
)
def test_an_answer_has_the_tensors_that_were_sent(content: Content, right: bool) -> None:
    assert has_outputs(content, OUTPUTS, {}) == right


@pytest.mark.parametrize(
    ("content", "there", "right"),
    [
        (Content(told({}, STRINGS), b""), RAW[:8], True),
        (Content(told({}, {"parameters": {"binary_data_size": 11}}), RAW[8:]), RAW[:8], True),
        (Content(told({}, STRINGS), b""), b"\xff" * 8, False),
        (Content(told({"shape": [2]}, STRINGS), b""), RAW[:8], False),
        (Content(told(NUMBERS, STRINGS), b""), RAW[:8], False),
        (Content(told({"parameters": {"binary_data_size": 8}}, STRINGS), RAW[:8]), RAW[:8], False),
    ],
)
def test_an_output_in_shared_memory_is_there_and_nowhere_else(content: Content, there: bytes, right: bool) -> None:
    assert has_outputs(content, OUTPUTS, {"OUT0": there}) == right


def test_answers_are_read_plain_zipped_and_empty() -> None:
    assert read({}, b'{"a":1}') == Content({"a": 1}, b"")
    assert read({"content-encoding": "gzip"}, gzip.compress(b'{"a":1}')) == Content({"a": 1}, b"")
    assert read({"inference-header-content-length": "7"}, b'{"a":1}tail') == Content({"a": 1}, b"tail")
    assert read({}, b"") == Content(None, b"")


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"{}")[:-4], gzip.compress(b"{}")[:10] + b"\xff" * 12])
def test_what_is_no_gzip_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match="not gzip"):
        read({"content-encoding": "gzip"}, body)


def test_only_the_last_digit_of_a_number_may_differ() -> None:
    assert same({"a": [1.304000045130137]}, {"a": [1.3040000451301372]})
    assert not same([1.304], [1.305])
    assert not same([1.0], [1.0, 2.0])
    assert not same({"a": 1}, {"b": 1})
    assert not same(True, 1)


def asked(first: FirstAnswers, answer: bytes, exchange: Exchange, point: Point = POINT) -> None:
    with answering(answer) as port, region() as memory:
        first.verify(port, point, [exchange], memory)


def test_the_second_server_must_answer_as_the_first_did() -> None:
    first = FirstAnswers()
    asked(first, response('{"a":1}'), Exchange(REQUEST))
    asked(first, response('{"a": 1}'), Exchange(REQUEST))
    with pytest.raises(WrongAnswer, match=r'm: request 0 got \{"a": 2\} .* from another server \{"a": 1\}'):
        asked(first, response('{"a":2}'), Exchange(REQUEST))
    asked(first, response('{"a":2}'), Exchange(REQUEST, compared=False))
    asked(first, response('{"a":2}'), Exchange(REQUEST), Point("m", "json", 16))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (response(json.dumps(told({"data": [0, 0]}, STRINGS))), "request 0 got other tensors than it sent"),
        (response("busy", "503 No"), "was answered 503"),
        (response("[]"), "was answered b'\\[\\]'"),
        (response('{"outputs": ["x"]}'), "was answered"),
    ],
)
def test_everything_else_is_a_wrong_answer(answer: bytes, text: str) -> None:
    with pytest.raises(WrongAnswer, match=text):
        asked(FirstAnswers(), answer, Exchange(REQUEST, OUTPUTS))


def test_what_is_said_to_be_in_shared_memory_must_have_been_written() -> None:
    exchange = Exchange(REQUEST, {"OUT0": OUTPUTS["OUT0"]}, shared={"OUT0": 64})
    said = response('{"outputs":[{"name":"OUT0","shape":[1,2]}]}')
    with pytest.raises(WrongAnswer, match="request 0 got other tensors than it sent"):
        asked(FirstAnswers(), said, exchange)


def test_of_many_requests_only_some_are_looked_at() -> None:
    # The server answers once, whatever it is asked.
    first = FirstAnswers()
    with answering(response("{}")) as port, region() as memory, pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.scenarios.answers.SAMPLE", 1)
        first.verify(port, POINT, [Exchange(REQUEST)] * 5, memory)
    assert list(first.answers) == [0]
