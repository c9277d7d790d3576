import json
import time
from typing import Any, ClassVar

import numpy as np
import pytest

from despina.errors import DespinaError, InvalidArgument, NotFound
from despina.protocol.decode import Context, Limits, content_length, decode_request, header_length, no_shared_memory
from despina.protocol.json_input import json_input
from despina.protocol.messages import InferRequest, RequestedOutput, SharedMemory
from despina.shared_memory.window import Window


def decode(document: Any, blob: bytes = b"", limit: int = (1 << 21) - 1) -> InferRequest:
    head = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = memoryview(head + blob)
    return decode_request(body, len(head), Context("m", Limits(limit), no_shared_memory))


def tensor(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "FP32", **fields}


def test_a_binary_tensor_is_a_view_of_the_body() -> None:
    request = decode({"inputs": [tensor(parameters={"binary_data_size": 8})]}, b"\0\0\x80?\0\0\0@")
    data = request.inputs[0].data
    assert isinstance(data, memoryview)
    assert np.frombuffer(data, "<f4").tolist() == [1.0, 2.0]


def test_binary_tensors_are_cut_in_the_order_of_the_inputs() -> None:
    inputs = [
        tensor(name="a", parameters={"binary_data_size": 2}),
        tensor(name="b", data=[1, 2]),
        tensor(name="c", parameters={"binary_data_size": 1}),
    ]
    request = decode({"inputs": inputs}, b"xyz")
    assert bytes(request.inputs[0].data) == b"xy"
    assert bytes(request.inputs[2].data) == b"z"


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        ("FP32", [1, 2.5], [1.0, 2.5]),
        ("FP32", [[1], [[2]]], [1.0, 2.0]),
        ("UINT8", [300, 1], [44, 1]),
        ("INT8", [200, -1], [-56, -1]),
        ("UINT64", [18446744073709551615, 0], [18446744073709551615, 0]),
        ("BOOL", [True, False], [True, False]),
        ("BYTES", ["a", "é\0"], [b"a", "é\0".encode()]),
    ],
)
def test_json_data_becomes_a_flat_array(datatype: str, data: list[Any], expected: list[Any]) -> None:
    request = decode({"inputs": [tensor(datatype=datatype, data=data)]})
    array = request.inputs[0].data
    assert isinstance(array, np.ndarray)
    assert array.tolist() == expected


def test_data_of_an_empty_tensor_is_not_looked_at() -> None:
    request = decode({"inputs": [tensor(shape=[2, 0], data="anything")]})
    assert len(request.inputs[0].data) == 0


def test_parameters_are_told_apart() -> None:
    request = decode(
        {
            "id": "7\0rest",
            "parameters": {
                "sequence_id": 5,
                "sequence_start": True,
                "sequence_end": False,
                "priority": 2,
                "timeout": 100,
                "binary_data_output": True,
                "mine": 1.5,
            },
            "inputs": [],
        }
    )
    assert (request.id, request.correlation_id, request.sequence_start, request.priority) == ("7", 5, True, 2)
    assert (request.timeout_us, request.binary_output, request.parameters) == (100, True, {"mine": 1.5})


def test_requested_outputs_default_to_json() -> None:
    document = {
        "inputs": [],
        "outputs": [{"name": "a"}, {"name": "b", "parameters": {"binary_data": True, "classification": 3}}],
    }
    assert decode(document).outputs == [RequestedOutput("a"), RequestedOutput("b", True, 3)]


def test_a_number_of_classes_has_32_bits() -> None:
    document = {"inputs": [], "outputs": [{"name": "a", "parameters": {"classification": (1 << 32) + 2}}]}
    assert decode(document).outputs == [RequestedOutput("a", False, 2)]


@pytest.mark.parametrize(("limit", "refused"), [(11, True), (12, False)])
def test_strings_count_with_their_lengths_against_the_limit(limit: int, refused: bool) -> None:
    def read() -> None:
        json_input(["ab", "cd"], "x", "BYTES", (2,), limit)

    if not refused:
        read()
        return
    with pytest.raises(DespinaError) as error:
        read()
    assert error.value.message == (
        "JSON input 'x' has a byte_size (12 bytes) that exceeds the maximum allowed value of 11 bytes. "
        "Use --http-max-input-size to increase the limit."
    )


def test_the_whole_body_of_a_raw_request_is_its_input() -> None:
    request = decode_request(memoryview(b"abcd"), 0, Context("m", Limits(), no_shared_memory))
    assert request.raw
    assert request.binary_output
    assert bytes(request.inputs[0].data) == b"abcd"


class Digits:
    byte_size = 10
    description: ClassVar[dict[str, int | str]] = {}

    def read(self, offset: int, size: int) -> bytes:
        return b"0123456789"[offset : offset + size]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        raise AssertionError


def region(place: SharedMemory) -> Window:
    if place.region != "r":
        raise NotFound(f"Unable to find shared memory region: '{place.region}'")
    return Window(Digits(), place.offset, place.byte_size)


def test_shared_memory_is_looked_up_where_the_input_says() -> None:
    place = {"shared_memory_region": "r", "shared_memory_offset": 2, "shared_memory_byte_size": 3}
    body = json.dumps({"inputs": [tensor(parameters=place)]}).encode()
    request = decode_request(memoryview(body), len(body), Context("m", Limits(), region))
    window = request.inputs[0].data
    assert isinstance(window, Window)
    assert bytes(window.read()) == b"234"


def test_an_output_keeps_the_memory_it_goes_to() -> None:
    place = {"shared_memory_region": "r", "shared_memory_offset": 2, "shared_memory_byte_size": 3}
    body = json.dumps({"inputs": [], "outputs": [{"name": "y", "parameters": place}]}).encode()
    (output,) = decode_request(memoryview(body), len(body), Context("m", Limits(), region)).outputs
    assert output.shared_memory is not None
    assert bytes(output.shared_memory.read()) == b"234"


BINARY = {"binary_data_size": 4}
ONE_FIELD = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
    "'shared_memory_region' in 'parameters'. But "
)


def nested(depth: int) -> list[Any]:
    data: list[Any] = [1.0]
    for _ in range(depth - 1):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("document", "blob", "status", "text"),
    [
        (b"[]", b"", 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        (b"{}", b"", 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({"inputs": 1}, b"", 500, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"id": 1, "inputs": []}, b"", 500, "Unable to parse 'id': attempt to access JSON non-string as string"),
        ({"parameters": []}, b"", 500, "failed to get request params.: attempt to get members for non-object"),
        (
            {"parameters": {"priority": -1}},
            b"",
            500,
            "Unable to parse 'priority': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"parameters": {"sequence_id": -1}},
            b"",
            500,
            "Unable to parse 'sequence_id': attempt to access JSON non-string as string",
        ),
        (
            {"parameters": {"sequence_id": "x" * 129}},
            b"",
            501,
            "string correlation ID cannot be longer than 128 characters",
        ),
        (
            {"parameters": {"triton_x": 1}},
            b"",
            400,
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
        ),
        (
            {"parameters": {"x": None}},
            b"",
            400,
            "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        ({"inputs": [7]}, b"", 400, ONE_FIELD + "no field is set"),
        (
            {"inputs": [tensor(data=[1, 2], parameters=BINARY)]},
            b"abcd",
            400,
            ONE_FIELD + "set 'data' 'binary_data_size'",
        ),
        (
            {"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]},
            b"",
            500,
            "Unable to parse 'name': attempt to access non-existing object member 'name'",
        ),
        (
            {"inputs": [tensor(shape=[-1], data=[1])]},
            b"",
            500,
            "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"id": "q", "inputs": [tensor(data=[1, 2]), tensor(data=[1, 2])]},
            b"",
            400,
            "[request id: q] input 'x' already exists in request",
        ),
        (
            {"inputs": [tensor(parameters=BINARY)]},
            b"abc",
            400,
            "unexpected size for input 'x', expecting 1 additional bytes for model 'm'",
        ),
        ({"inputs": [tensor(parameters=BINARY)]}, b"abcde", 400, "unexpected additional input data for model 'm'"),
        ({"inputs": [tensor(data=1)]}, b"", 500, "Unable to parse 'data': attempt to access JSON non-array as array"),
        (
            {"inputs": [tensor(data=[1, 2, 3])]},
            b"",
            500,
            "Unable to parse 'data': Shape does not match true shape of 'data' field",
        ),
        (
            {"inputs": [tensor(shape=[1], datatype="INT64", data=[1 << 63, 1])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"inputs": [tensor(datatype="NONE", data={})]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-array as array",
        ),
        (
            {"inputs": [tensor(shape=[1 << 30], data=None)]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-array as array",
        ),
        (
            {"inputs": [tensor(data=[1, 2], parameters={"shared_memory_offset": "x"})]},
            b"",
            500,
            "Unable to parse 'shared_memory_offset': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"shared_memory_byte_size": 1.5}}]},
            b"",
            500,
            "Unable to parse 'shared_memory_byte_size': attempt to access JSON non-unsigned-integer as "
            "unsigned-integer",
        ),
        (
            {"inputs": [], "outputs": [{"name": 5, "parameters": {"shared_memory_region": "r", "classification": 0}}]},
            b"",
            400,
            "Output can't set both 'shared_memory_region' and 'classification'",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r", "binary_data": 1}}]},
            b"",
            500,
            "Unable to set 'binary_data': attempt to access JSON non-boolean as boolean",
        ),
        ({"inputs": [tensor(data=[1])]}, b"", 500, "Failed to parse 'data' field: shape does not match true shape"),
        (
            {"inputs": [tensor(data=[1, "2"])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-number as double",
        ),
        (
            {"inputs": [tensor(datatype="INT32", data=[1, 2.0])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"inputs": [tensor(datatype="INT32", data=[1, True])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"inputs": [tensor(datatype="UINT8", data=[1, -2])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"inputs": [tensor(datatype="BOOL", data=[0, 1])]},
            b"",
            500,
            "Unable to parse 'data': attempt to access JSON non-boolean as boolean",
        ),
        (
            {"inputs": [tensor(datatype="BYTES", data=["a", 1])]},
            b"",
            500,
            "Unable to parse JSON bytes array: attempt to access JSON non-string as string",
        ),
        (
            {"inputs": [tensor(datatype="FP16", data=[1, 2])]},
            b"",
            400,
            "receiving FP16 data via JSON is not supported. Please use the binary data format for input x",
        ),
        ({"inputs": [tensor(datatype="FP31", data=[1, 2])]}, b"", 400, "invalid datatype for input x"),
        (
            {"inputs": [tensor(shape=[1], data=nested(100))]},
            b"",
            400,
            "Unable to parse 'data': JSON nesting depth exceeds maximum allowed limit (100)",
        ),
        (
            {"inputs": [tensor(shape=[1 << 32, 1 << 32], data=[1])]},
            b"",
            400,
            "invalid shape for input 'x': shape [4294967296,4294967296] causes total element count to exceed maximum "
            "size of 9223372036854775807",
        ),
        (
            {"inputs": [tensor(shape=[1 << 19], data=[1])]},
            b"",
            400,
            "Unable to parse 'data': Shape does not match true shape of 'data' field",
        ),
        (
            {"inputs": [tensor(shape=[1 << 19], data=[1] * (1 << 19))]},
            b"",
            400,
            "JSON input 'x' has a byte_size (2097152 bytes) that exceeds the maximum allowed value of 2097151 bytes. "
            "Use --http-max-input-size to increase the limit.",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y"}, {"name": "y"}]},
            b"",
            400,
            "[request id: <id_unknown>] output 'y' already exists in request",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": "3"}}]},
            b"",
            500,
            "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        (
            {"inputs": [tensor(parameters={"shared_memory_region": "gone"})]},
            b"",
            404,
            "Unable to find shared memory region: 'gone'",
        ),
        (
            {
                "inputs": [],
                "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r", "classification": 1}}],
            },
            b"",
            400,
            "Output can't set both 'shared_memory_region' and 'classification'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_protocols_words(document: Any, blob: bytes, status: int, text: str) -> None:
    with pytest.raises(DespinaError) as caught:
        decode(document, blob)
    assert (caught.value.status, caught.value.message) == (status, text)


def test_ninety_nine_levels_of_nesting_are_accepted() -> None:
    assert decode({"inputs": [tensor(shape=[1], data=nested(99))]}).inputs[0].data.tolist() == [1.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "size", "length"), [(None, 9, 9), ("5", 9, 5), (" 5x", 9, 5), ("0", 9, 0), ("000", 9, 0)]
)
def test_the_json_length_is_read_like_a_c_integer(value: str | None, size: int, length: int) -> None:
    assert header_length(value, size) == length


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "Unable to parse Inference-Header-Content-Length, got: x"),
        ("10", "inference header size should be in range (0, 9), got: 10"),
        ("-1", "inference header size should be in range (0, 9), got: -1"),
        (
            "4294967296",
            "Unable to parse Inference-Header-Content-Length, value is out of range [ -2147483648, 2147483647 ], got: "
            "4294967296",
        ),
    ],
)
def test_a_wrong_json_length_is_refused(value: str, text: str) -> None:
    with pytest.raises(DespinaError) as caught:
        header_length(value, 9)
    assert (caught.value.status, caught.value.message) == (400, text)


def test_a_content_length_must_fit_32_bits() -> None:
    assert content_length("123") == 123
    with pytest.raises(DespinaError, match="value is out of range"):
        content_length("2147483648")


@pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 5000, "0" * 5000 + "9" * 12])
def test_a_header_length_of_thousands_of_digits_is_out_of_range(value: str) -> None:
    with pytest.raises(DespinaError, match="value is out of range"):
        header_length(value, 10)


def test_zeros_before_a_header_length_do_not_count() -> None:
    assert header_length("+" + "0" * 5000 + "7", 10) == 7


@pytest.mark.parametrize(("opened", "closed"), [(b'{"x":', b"}"), (b'[{"x":', b"}]")])
def test_deep_objects_that_nobody_asked_for_are_skipped(opened: bytes, closed: bytes) -> None:
    inputs = json.dumps([tensor(data=[1, 2])]).encode()
    body = b'{"inputs":' + inputs + b',"deep":' + opened * 450 + b"1" + closed * 450 + b"}"
    assert [item.name for item in decode(body).inputs] == ["x"]


def test_a_shape_of_many_dimensions_is_refused_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(DespinaError, match="causes total element count to exceed maximum size"):
        decode({"inputs": [tensor(shape=[1 << 62] * 50_000, data=[1])]})
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "fields",
    ['"name":"x","name":"y","shape":[1]', '"name":"x","shape":[1],"parameters":{},"parameters":{"binary_data_size":4}'],
)
def test_the_first_of_two_names_or_parameters_counts(fields: str) -> None:
    request = decode(f'{{"inputs":[{{{fields},"datatype":"FP32","data":[1]}}]}}'.encode())
    assert [(item.name, type(item.data)) for item in request.inputs] == [("x", np.ndarray)]


def test_many_lists_of_differing_depth_are_read_in_their_order() -> None:
    rows: list[Any] = [[[3 * row], [[3 * row + 1]], 3 * row + 2] for row in range(2000)]
    got = decode({"inputs": [tensor(shape=[6000], data=rows)]}).inputs[0].data
    assert got.tolist() == list(range(6000))  # type: ignore[union-attr]


def test_one_list_among_many_that_is_nested_too_deeply_is_found() -> None:
    rows: list[Any] = [[row] for row in range(1000)]
    rows[777] = nested(99)
    with pytest.raises(InvalidArgument, match="nesting depth exceeds maximum allowed limit"):
        decode({"inputs": [tensor(shape=[1000], data=rows)]})
