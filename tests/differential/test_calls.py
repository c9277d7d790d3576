"""What needs no tritonserver: the calls, and their answers as they are compared."""

import json
import random
from collections import Counter
from itertools import islice

import grpc
import pytest
from google.protobuf.message import DecodeError
from tests.differential.calling import Answer, as_request, as_response
from tests.differential.calls import HEALTH, METHODS, SERVICE, STREAM, Call, call, make_odd, odd_calls
from tests.differential.differences import Differences, complaint_of

from despina.grpc.messages import message_class

INFER = Call(f"{SERVICE}/ModelInfer", (b"",))
STREAMED = Call(f"{SERVICE}/{STREAM}", (b"", b""))
OK = grpc.StatusCode.OK
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_the_same_seed_gives_the_same_calls_and_another_does_not() -> None:
    first, again, other = (list(islice(odd_calls(seed), 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_every_method_is_called_most_of_all_inference_and_most_messages_can_be_read() -> None:
    calls = [each for together in islice(odd_calls(1), 1500) for each in together]
    counts = Counter(each.method for each in calls)
    service = {method for method, _, _ in METHODS} | {"ModelInfer", STREAM}
    assert service < set(counts)
    assert {each.path for each in calls} > {HEALTH, f"{SERVICE}/Nope"}
    assert counts["ModelInfer"] > len(calls) / 3
    readable = 0
    for each in (each for each in calls if each.method == "ModelInfer" and each.path.startswith(SERVICE)):
        try:
            message_class("ModelInferRequest").FromString(each.messages[0])
            readable += 1
        except DecodeError:
            pass
    assert 0.85 * counts["ModelInfer"] < readable < counts["ModelInfer"]


def test_streams_have_good_and_odd_messages() -> None:
    streams = [each for (each, *_) in islice(odd_calls(2), 500) if each.method == STREAM]
    assert {len(each.messages) for each in streams} == {0, 1, 2, 3, 5}
    assert {each.errors_end for each in streams} == {True, False}


def test_any_field_can_be_odd_at_any_depth() -> None:
    rng = random.Random(1)
    request = message_class("ModelInferRequest")
    good = request(model_name="m", raw_input_contents=[b"1"])
    good.inputs.add(name="x", datatype="INT32", shape=[1]).parameters["a"].int64_param = 1
    changed: Counter[str] = Counter()
    for _ in range(2000):
        odd = request()
        odd.CopyFrom(good)
        make_odd(odd, rng)
        for field in request.DESCRIPTOR.fields:
            changed[field.name] += getattr(odd, field.name) != getattr(good, field.name)
        tensors = zip(odd.inputs, good.inputs, strict=False)
        changed["parameter"] += any(one.parameters["a"] != other.parameters["a"] for one, other in tensors)
    assert set(changed) == {*request.DESCRIPTOR.fields_by_name, "parameter"}
    assert min(changed.values()) > 20


def test_answers_of_the_same_status_and_message_agree() -> None:
    refused = as_response(INFER, Answer(INVALID, "no", ()))
    assert (refused.status, json.loads(refused.body)) == (400, {"error": "INVALID_ARGUMENT: no"})
    assert complaint_of(as_request(INFER), refused, refused) is None


@pytest.mark.parametrize(
    "other",
    [
        Answer(grpc.StatusCode.NOT_FOUND, "no", ()),
        Answer(INVALID, "never", ()),
        Answer(OK, "", (b"",)),
    ],
)
def test_another_status_or_text_is_a_difference(other: Answer) -> None:
    differences = Differences()
    theirs, ours = (as_response(INFER, each) for each in (Answer(INVALID, "no", ()), other))
    assert not differences.compare(as_request(INFER), theirs, ours)
    assert differences.unknown.total() == 1
    assert f"{SERVICE}/ModelInfer" in differences.summary()


@pytest.mark.parametrize(
    ("asked", "theirs", "ours", "told"),
    [
        (INFER, "invalid value type for 'a' parameter", "invalid value type for 'b' parameter", True),
        (INFER, "unexpected shape for input 'A' for model 'm'", "input byte size mismatch for input 'B'", True),
        (INFER, "unexpected shape for input 'A' for model 'm'", "input byte size mismatch for input 'A'", False),
        (INFER, "no", "tensor 'A' contains an invalid dimension [-2]", True),
        (call("ModelReady", name="m"), "", "m is not ready", False),
    ],
)
def test_what_may_be_told_otherwise_is_no_unknown_difference(asked: Call, theirs: str, ours: str, told: bool) -> None:
    differences = Differences()
    differences.compare(as_request(asked), *(as_response(asked, Answer(INVALID, text, ())) for text in (theirs, ours)))
    assert (differences.known.total(), differences.unknown.total()) == (told, not told)


def test_what_newer_releases_answer_otherwise_is_no_unknown_difference() -> None:
    differences = Differences()
    ready, missing = Answer(OK, "", (b"",)), Answer(grpc.StatusCode.NOT_FOUND, "no such model", ())
    asked = call("ModelReady", name="m")
    differences.compare(as_request(asked), as_response(asked, ready), as_response(asked, missing))
    ends = Call(STREAMED.path, (b"",), errors_end=True)
    theirs, ours = as_response(ends, streamed("a", "b")), as_response(ends, streamed(status=INVALID))
    differences.compare(as_request(ends), theirs, ours)
    assert (differences.known.total(), differences.unknown.total()) == (2, 0)


def test_strings_that_a_runtime_ends_at_a_nul_agree_with_whole_ones() -> None:
    def answer(raw: bytes) -> Answer:
        response = message_class("ModelInferResponse")(raw_output_contents=[raw])
        response.outputs.add(name="y", datatype="BYTES", shape=[1])
        return Answer(OK, "", (response.SerializeToString(),))

    cut, whole, other = (as_response(INFER, answer(raw)) for raw in (b"\1\0\0\0a", b"\3\0\0\0a\0b", b"\1\0\0\0b"))
    assert complaint_of(as_request(INFER), cut, whole) is None
    assert complaint_of(as_request(INFER), cut, other) is not None


def streamed(*texts: str, status: grpc.StatusCode = OK) -> Answer:
    response = message_class("ModelStreamInferResponse")
    return Answer(status, "", [response(error_message=text).SerializeToString() for text in texts])


@pytest.mark.parametrize("other", [streamed("a"), streamed("b", "a"), streamed("a", "b", status=INVALID)])
def test_streams_agree_in_all_their_answers_and_in_how_they_end(other: Answer) -> None:
    same = as_response(STREAMED, streamed("a", "b"))
    assert complaint_of(as_request(STREAMED), same, as_response(STREAMED, streamed("a", "b"))) is None
    assert complaint_of(as_request(STREAMED), same, as_response(STREAMED, other)) is not None


def test_numbers_of_statistics_and_names_of_servers_are_not_compared() -> None:
    asked = call("ModelStatistics")
    message = message_class("ModelStatisticsResponse")()
    message.model_stats.add(name="m", version="1", last_inference=123)
    body = json.loads(as_response(asked, Answer(OK, "", (message.SerializeToString(),))).body)
    assert body == [{"name": "m", "version": "1"}]
    server = message_class("ServerMetadataResponse")(name="triton", version="2.51.0")
    answer = Answer(OK, "", (server.SerializeToString(),))
    assert json.loads(as_response(call("ServerMetadata"), answer).body) == ["name", "version"]
