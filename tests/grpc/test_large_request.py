"""A large request is what protobuf says it is, with its raw contents left where they are."""

from typing import Any

import numpy as np
import pytest
from tests.support.infer_messages import ModelInferRequest, infer_message, tensor

from despina.errors import Internal
from despina.grpc.infer_request import read_request
from despina.grpc.large_request import LARGE, parse_request
from despina.protocol.decode import no_shared_memory

BIG = bytes(range(256)) * (LARGE // 256)


def whole(message: Any, raw: list[memoryview] | None) -> Any:
    """The message as protobuf alone makes it."""
    message.raw_input_contents.extend(bytes(contents) for contents in raw or ())
    return message


def serialized(*messages: Any) -> bytes:
    """One after the other, which is a message, too: the fields of the last ones are added."""
    return b"".join(message.SerializeToString() for message in messages)


@pytest.mark.parametrize(
    ("data", "views"),
    [
        (serialized(infer_message([tensor()], [BIG], request_id="7", parameters={"a": 1})), 1),
        (serialized(infer_message([tensor("a"), tensor("b")], [BIG, b"", b"abc"])), 3),
        (serialized(infer_message([tensor("a")], [BIG]), infer_message([tensor("b")], [b"b"], model="n")), 2),
        (serialized(infer_message([tensor("a", "BYTES", [1], {"bytes": [BIG]})])), 0),
        # Fields that are not known yet: one like the others, a number, and one with a tag of two bytes.
        (serialized(infer_message([tensor()], [BIG])) + b"\x7a\x02ab", 1),
        # Too many for it to take less time.
        (serialized(infer_message([tensor()], [b""] * LARGE)), None),
        (serialized(infer_message([tensor()], [BIG])) + b"\x78\x05", 1),
        (serialized(infer_message([tensor()], [BIG])) + b"\xa2\x06\x01a", 1),
        # A group, which ends with a tag of its own.
        (serialized(infer_message([tensor()], [BIG])) + b"\x7b\x7c", None),
    ],
)
def test_a_large_request_is_taken_apart(data: bytes, views: int | None) -> None:
    for form in (data, memoryview(data)):
        message, raw = parse_request(form)
        assert (None if raw is None else len(raw)) == views
        assert whole(message, raw) == ModelInferRequest.FromString(data)
        assert all(np.shares_memory(np.frombuffer(view, "u1"), np.frombuffer(data, "u1")) for view in raw or () if view)


def test_a_small_request_is_left_to_protobuf() -> None:
    asked = infer_message([tensor()], [b"1234"])
    assert parse_request(serialized(asked)) == (asked, None)


@pytest.mark.parametrize("cut", [1, 2, LARGE])
def test_what_is_cut_short_is_no_message(cut: int) -> None:
    data = serialized(infer_message([tensor()], [BIG, BIG, b"ab"]))[:-cut]
    with pytest.raises(Internal, match="Unable to parse request"):
        parse_request(data)


@pytest.mark.parametrize(
    "end", [b"\x3a", b"\x3a\x80", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x3a\x05a"]
)
def test_a_length_that_leads_nowhere_is_no_message(end: bytes) -> None:
    with pytest.raises(Internal, match="Unable to parse request"):
        parse_request(serialized(infer_message([tensor()], [BIG])) + end)


def test_raw_contents_beside_the_message_are_those_of_its_inputs() -> None:
    message, raw = parse_request(serialized(infer_message([tensor("a"), tensor("b")], [BIG, b"1234"])))
    request = read_request(message, no_shared_memory, raw)
    assert [item.data for item in request.inputs] == [memoryview(BIG), memoryview(b"1234")]
