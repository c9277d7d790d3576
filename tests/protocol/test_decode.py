import json
import time
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.support.decoding import decode, nested, tensor

from despina.errors import DespinaError, InvalidArgument, NotFound
from despina.protocol.decode import Context, Limits, decode_request, no_shared_memory
from despina.protocol.json_input import json_input
from despina.protocol.messages import RequestedOutput
from despina.protocol.tensor_data import from_json
from despina.shared_memory.window import SharedMemory, Window


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


def test_bytes_that_are_no_text_are_taken_from_json_as_they_are() -> None:
    assert from_json(["a", "\udcff"], "X", "BYTES", 2).tolist() == [b"a", b"\xff"]


@pytest.mark.parametrize("shape", [[2, 0], []])
def test_data_of_an_empty_tensor_is_not_looked_at(shape: list[int]) -> None:
    request = decode({"inputs": [tensor(shape=shape, data="anything")]})
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
    return Window(Digits(), place.region, place.offset, place.byte_size)


@pytest.mark.parametrize("name", ["r", "r\0", "r\0x"])
def test_shared_memory_is_looked_up_where_the_input_says(name: str) -> None:
    place = {"shared_memory_region": name, "shared_memory_offset": 2, "shared_memory_byte_size": 3}
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


def test_ninety_nine_levels_of_nesting_are_accepted() -> None:
    assert decode({"inputs": [tensor(shape=[1], data=nested(99))]}).inputs[0].data.tolist() == [1.0]  # type: ignore[union-attr]


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


@pytest.mark.parametrize(("values", "binary"), [("true,%:false", True), ("false,%:true", False)])
def test_the_first_of_two_values_of_a_parameter_counts(values: str, binary: bool) -> None:
    of_output, of_request = (
        f"{name}:{values.replace('%', name)}" for name in ('"binary_data"', '"binary_data_output"')
    )
    request = decode(
        f'{{"inputs":[],"outputs":[{{"name":"y","parameters":{{{of_output}}}}}],"parameters":{{{of_request}}}}}'.encode()
    )
    assert (request.binary_output, request.outputs[0].binary) == (binary, binary)


def test_the_first_value_counts_among_the_parameters_of_the_last_input_too() -> None:
    item = '{"name":"%s","datatype":"INT32","shape":[1],"data":[1],"parameters":{%s}}'
    twice = item % ("b", '"shared_memory_offset":1,"shared_memory_offset":"x"')
    request = decode(f'{{"inputs":[{item % ("a", "")},{twice}]}}'.encode())
    assert [item.name for item in request.inputs] == ["a", "b"]


@pytest.mark.parametrize("parameters", ['"priority":1,"priority":"x"', '"own":1,"own":[]'])
def test_a_second_value_of_a_parameter_is_not_looked_at(parameters: str) -> None:
    assert decode(f'{{"inputs":[],"parameters":{{{parameters}}}}}'.encode()).inputs == []


def test_many_parameters_are_not_each_looked_for_in_all_of_the_text() -> None:
    own = ",".join(f'"own{number}":"{"x" * 20}"' for number in range(40_000))
    started = time.process_time()
    request = decode(f'{{"inputs":[],"parameters":{{{own},"own":"\\""}}}}'.encode())
    assert len(request.parameters) == 40_001
    assert time.process_time() - started < 5


def test_many_lists_of_differing_depth_are_read_in_their_order() -> None:
    rows: list[Any] = [[[3 * row], [[3 * row + 1]], 3 * row + 2] for row in range(2000)]
    got = decode({"inputs": [tensor(shape=[6000], data=rows)]}).inputs[0].data
    assert got.tolist() == list(range(6000))  # type: ignore[union-attr]


def test_one_list_among_many_that_is_nested_too_deeply_is_found() -> None:
    rows: list[Any] = [[row] for row in range(1000)]
    rows[777] = nested(99)
    with pytest.raises(InvalidArgument, match="nesting depth exceeds maximum allowed limit"):
        decode({"inputs": [tensor(shape=[1000], data=rows)]})
