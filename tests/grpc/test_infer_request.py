"""A ModelInferRequest says the same as a request over HTTP; what is wrong with it is said in tritonserver's words."""

from typing import Any

import numpy as np
import pytest
from tests.support.infer_messages import Uint64, Unset, infer_message, output, tensor

from despina.errors import DespinaError, InvalidArgument, NotFound, Unsupported
from despina.grpc.infer_request import read_request
from despina.protocol.decode import no_shared_memory
from despina.protocol.messages import InferInput, RequestedOutput
from despina.shared_memory.window import SharedMemory, Window

PLACE = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
ALLOWED = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
    "'triton_' are allowed: triton_enable_empty_final_response"
)


def found(place: SharedMemory) -> Window:
    memory: Any = None
    return Window(memory, place.region, place.offset, place.byte_size)


def test_raw_contents_are_those_of_the_inputs_in_their_order() -> None:
    inputs = [tensor("a", shape=[1, 2]), tensor("b", "INT8", [3], **PLACE), tensor("c", "BYTES", [0])]
    request = read_request(infer_message(inputs, [b"12345678", b"", b"left over"], request_id="7"), found)
    assert request.id == "7"
    assert request.inputs == [
        InferInput("a", "FP32", (1, 2), memoryview(b"12345678")),
        InferInput("b", "INT8", (3,), found(SharedMemory("r", 0, 8))),
        InferInput("c", "BYTES", (0,), memoryview(b"")),
    ]
    assert (request.outputs, request.parameters, request.binary_output) == ([], {}, True)


def test_outputs_come_back_as_binary_data() -> None:
    outputs = [
        output("y"),
        output("z", classification=(1 << 32) + 3, other=True),
        output("s", shared_memory_offset=4, **PLACE),
    ]
    assert read_request(infer_message(outputs=outputs), found).outputs == [
        RequestedOutput("y", binary=True),
        RequestedOutput("z", binary=True, classification=3),
        RequestedOutput("s", binary=True, shared_memory=found(SharedMemory("r", 4, 8))),
    ]


def test_parameters_of_the_protocol_and_of_the_client() -> None:
    parameters = {
        "sequence_id": 5,
        "sequence_start": True,
        "sequence_end": True,
        "priority": 2,
        "timeout": 9,
        "triton_enable_empty_final_response": True,
        "text": "t",
        "number": -3,
        "ratio": 0.5,
        "flag": False,
        "binary_data_output": False,
    }
    request = read_request(infer_message(parameters=parameters), no_shared_memory)
    assert (request.correlation_id, request.sequence_start, request.sequence_end) == (5, True, True)
    assert (request.priority, request.timeout_us, request.binary_output) == (2, 9, True)
    assert request.parameters == {
        "text": "t",
        "number": -3,
        "ratio": 0.5,
        "flag": False,
        "binary_data_output": False,
    }


@pytest.mark.parametrize(
    ("key", "value", "field", "read"),
    [
        ("sequence_id", -1, "correlation_id", (1 << 64) - 1),
        ("sequence_id", "abc", "correlation_id", "abc"),
        ("sequence_id", "a\0c", "correlation_id", "a"),
        ("sequence_id", "x" * 128, "correlation_id", "x" * 128),
        ("sequence_id", "", "correlation_id", ""),
        ("priority", 0, "priority", 0),
        ("priority", Uint64((1 << 64) - 1), "priority", (1 << 64) - 1),
        ("timeout", -1, "timeout_us", (1 << 64) - 1),
        ("a\0b", "c\0d", "parameters", {"a": "c"}),
    ],
)
def test_values_are_what_tritonserver_makes_of_them(key: str, value: Any, field: str, read: Any) -> None:
    assert getattr(read_request(infer_message(parameters={key: value}), no_shared_memory), field) == read


@pytest.mark.parametrize(
    ("key", "value", "error", "text"),
    [
        ("sequence_id", 1.5, InvalidArgument, "int64_param or string_param."),
        ("sequence_id", Uint64(1), InvalidArgument, "int64_param or string_param."),
        ("sequence_id", Unset(), InvalidArgument, "int64_param or string_param."),
        ("sequence_start", 1, InvalidArgument, "bool_param."),
        ("sequence_end", "true", InvalidArgument, "bool_param."),
        ("priority", "1", InvalidArgument, "int64_param or uint64_param."),
        ("timeout", Uint64(1), InvalidArgument, "int64_param."),
        ("triton_enable_empty_final_response", 1, InvalidArgument, "bool_param."),
        ("a", Uint64(1), InvalidArgument, "int64_param, bool_param, or string_param."),
        ("a", Unset(), InvalidArgument, "int64_param, bool_param, or string_param."),
    ],
)
def test_a_parameter_of_the_wrong_kind(key: str, value: Any, error: type[DespinaError], text: str) -> None:
    with pytest.raises(error) as refused:
        read_request(infer_message(parameters={key: value}), no_shared_memory)
    assert refused.value.message == f"invalid value type for '{key}' parameter, expected {text}"


@pytest.mark.parametrize(
    ("key", "value", "error", "text"),
    [
        ("sequence_id", "x" * 129, Unsupported, "string correlation ID cannot be longer than 128 characters"),
        ("sequence_id", "é" * 65, Unsupported, "string correlation ID cannot be longer than 128 characters"),
        ("priority", -1, InvalidArgument, "invalid value for 'priority', expected value >= 0."),
        ("triton_x", True, InvalidArgument, ALLOWED),
        ("a\0b", Uint64(1), InvalidArgument, "invalid value type for 'a"),
    ],
)
def test_a_parameter_that_is_refused(key: str, value: Any, error: type[DespinaError], text: str) -> None:
    with pytest.raises(error) as refused:
        read_request(infer_message(parameters={key: value}), no_shared_memory)
    assert type(refused.value) is error
    assert refused.value.message == text


@pytest.mark.parametrize(
    ("inputs", "raw", "outputs", "text"),
    [
        ([tensor(), tensor()], [b"", b""], [], "[request id: q] input 'x' already exists in request"),
        ([tensor(), tensor("x\0z")], [b"", b""], [], "[request id: q] input 'x' already exists in request"),
        ([], [], [output(), output()], "[request id: q] output 'y' already exists in request"),
        # Names are looked at before data.
        ([tensor(), tensor(contents={})], [b""], [output(), output()], "[request id: q] input 'x' already exists in "),
        ([tensor()], [], [output(), output()], "[request id: q] output 'y' already exists in request"),
        # Inputs before the parameters of outputs.
        (
            [tensor()],
            [],
            [output(classification=0)],
            "unable to find data for input tensor 'x' for model 'm' in request.",
        ),
        ([tensor()], [], [], "unable to find data for input tensor 'x' for model 'm' in request."),
        ([tensor("x\0z")], [], [], "unable to find data for input tensor 'x"),
        ([tensor("a"), tensor("b")], [b""], [], "unable to find data for input tensor 'b' for model 'm' in request."),
        (
            [tensor(contents={})],
            [b""],
            [],
            "contents field must not be specified when using raw_input_contents for 'x' for model 'm'",
        ),
        (
            [tensor(contents={}, **PLACE)],
            [],
            [],
            "unexpected 'content' provided when using shared memory for input tensor 'x' for model 'm'",
        ),
        (
            [tensor(shared_memory_region=1)],
            [],
            [],
            "invalid value type for 'shared_memory_region' parameter for tensor 'x', expected string_param.",
        ),
        (
            [tensor(shared_memory_region="r", shared_memory_offset="0")],
            [],
            [],
            "invalid value type for 'shared_memory_offset' parameter for tensor 'x', expected int64_param.",
        ),
        (
            [tensor(shared_memory_region="r", shared_memory_byte_size=Uint64(1))],
            [],
            [],
            "invalid value type for 'shared_memory_byte_size' parameter for tensor 'x', expected int64_param.",
        ),
        (
            [tensor(shared_memory_region="r", shared_memory_offset=0)],
            [],
            [],
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor 'x'",
        ),
        (
            [tensor(shared_memory_offset="0", shared_memory_byte_size=4)],
            [b""],
            [],
            "'shared_memory_offset' can not be specified without 'shared_memory_region' parameter for tensor 'x'",
        ),
        (
            [tensor(shared_memory_byte_size=4)],
            [b""],
            [],
            "'shared_memory_byte_size' can not be specified without 'shared_memory_region' parameter for tensor 'x'",
        ),
        (
            [],
            [],
            [output(shared_memory_region="r", classification=0)],
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor 'y'",
        ),
        (
            [],
            [],
            [output(classification=Uint64(1))],
            "invalid value type for 'classification' parameter, expected int64_param",
        ),
        ([], [], [output(classification=0)], "invalid value for 'classification' parameter, expected >= 0"),
        ([], [], [output(classification=-1, **PLACE)], "invalid value for 'classification' parameter, expected >= 0"),
        (
            [],
            [],
            [output(classification=1, **PLACE)],
            "output can't set both 'shared_memory_region' and 'classification'",
        ),
    ],
)
def test_what_does_not_go_together(inputs: Any, raw: list[bytes], outputs: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_request(infer_message(inputs, raw, outputs, request_id="q"), found)
    assert refused.value.message.startswith(text)


@pytest.mark.parametrize("message", [infer_message([tensor(**PLACE)]), infer_message(outputs=[output(**PLACE)])])
def test_a_region_that_is_not_there(message: Any) -> None:
    with pytest.raises(NotFound, match="Unable to find shared memory region: 'r'"):
        read_request(message, no_shared_memory)


def test_a_negative_place_is_outside_of_all_regions() -> None:
    places: list[SharedMemory] = []

    def find(place: SharedMemory) -> Window:
        places.append(place)
        return found(place)

    inputs = [tensor(shared_memory_region="r", shared_memory_offset=-1, shared_memory_byte_size=-2)]
    read_request(infer_message(inputs), find)
    assert places == [SharedMemory("r", (1 << 64) - 1, (1 << 64) - 2)]


def test_names_end_at_a_nul() -> None:
    message = infer_message([tensor("x\0z", "FP32\0z")], [b""], [output("y\0z")], request_id="7\0z")
    request = read_request(message, no_shared_memory)
    assert (request.id, request.inputs[0].name, request.inputs[0].datatype) == ("7", "x", "FP32")
    assert request.outputs[0].name == "y"


def test_dimensions_may_be_negative() -> None:
    """The model says what is wrong with them."""
    assert read_request(infer_message([tensor(shape=[-1, -5])], [b""]), found).inputs[0].shape == (-1, -5)


def test_typed_contents_become_an_array() -> None:
    request = read_request(infer_message([tensor(shape=[2], contents={"fp32": [0.5, -1.0]})]), no_shared_memory)
    assert np.array_equal(np.asarray(request.inputs[0].data), np.array([0.5, -1.0], np.float32))
