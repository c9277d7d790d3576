import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.signature import Signature
from despina.protocol import bytes_tensor
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput
from despina.shared_memory.window import Window


def signature(inputs: str, max_batch_size: int = 4) -> Signature:
    config = ModelConfig()
    text_format.Parse(f'name: "m" max_batch_size: {max_batch_size} input {{ name: "x" {inputs} }}', config)
    return Signature(config)


def request(shape: tuple[int, ...], data: bytes, datatype: str = "FP32") -> InferRequest:
    return InferRequest(inputs=[InferInput("x", datatype, shape, memoryview(data))])


def test_a_request_that_fits_becomes_arrays() -> None:
    admitted = signature("data_type: TYPE_FP32 dims: [ -1 ]").admit(request((2, 3), bytes(24)))
    assert admitted.rows == 2
    assert admitted.inputs["x"].shape == (2, 3)
    assert admitted.inputs["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("inputs", "max_batch_size", "shape", "data"),
    [
        # No rows, and yet the bytes of one.
        ("data_type: TYPE_FP32 dims: [ 3 ]", 4, (0, 3), bytes(12)),
        # No elements, in dimensions beyond all memory.
        ("data_type: TYPE_FP32 dims: [ -1, -1 ]", 0, (0, 1 << 62), b""),
        # More dimensions than an array can have, and than a product can be printed of.
        ("data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true", 4, (1,) * 70, bytes(4)),
        ("data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true", 4, (1, *[1 << 63] * 300), bytes(4)),
    ],
)
def test_a_shape_no_array_can_have_is_the_clients_error(
    inputs: str, max_batch_size: int, shape: tuple[int, ...], data: bytes
) -> None:
    with pytest.raises(InvalidArgument, match="unexpected shape for input 'x' for model 'm'"):
        signature(inputs, max_batch_size).admit(request(shape, data))


def test_a_batch_of_no_rows_with_the_elements_of_one_is_refused_for_strings_too() -> None:
    with pytest.raises(InvalidArgument, match="Expected a shape that 2 elements fill, got \\[0,2\\]"):
        signature("data_type: TYPE_STRING dims: [ 2 ]").admit(request((0, 2), b"\1\0\0\0a\0\0\0\0", "BYTES"))


def two(first: tuple[int, ...], second: tuple[int, ...], names: tuple[str, str] = ("x", "y")) -> InferRequest:
    return InferRequest(
        inputs=[
            InferInput(name, "FP32", shape, memoryview(bytes(4 * max(1, shape[0]))))
            for name, shape in zip(names, (first, second), strict=True)
        ]
    )


PAIR = 'data_type: TYPE_FP32 dims: 1 } input { name: "y" data_type: TYPE_FP32 dims: 1'


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (two((1, 1), (1, 1), ("a", "b")), "unexpected inference input 'b' for model 'm'"),
        (two((1, 2), (1, 3)), "unexpected shape for input 'y' for model 'm'"),
        (two((1, 1), (2, 1)), "input 'x' batch size does not match other inputs for 'm'"),
        (two((0, 1), (2, 1)), "input 'x' batch size does not match other inputs for 'm'"),
    ],
)
def test_the_last_input_is_looked_at_first(asked: InferRequest, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        signature(PAIR).admit(asked)
    assert text in caught.value.message


def test_an_input_without_rows_before_others_have_some_counts_as_having_theirs() -> None:
    admitted = signature(PAIR).admit(two((1, 1), (0, 1)))
    assert (admitted.rows, admitted.inputs["y"].shape, list(admitted.inputs)) == (1, (1, 1), ["x", "y"])


@pytest.mark.parametrize(("platform", "order"), [("", ("a", "b", "c")), ("ensemble", ("b", "a", "c"))])
def test_outputs_come_by_name_and_those_of_ensembles_backwards(platform: str, order: tuple[str, ...]) -> None:
    outputs = " ".join(f'output {{ name: "{name}" data_type: TYPE_FP32 dims: 1 }}' for name in "cab")
    config = text_format.Parse(f'name: "m" platform: "{platform}" {outputs}', ModelConfig())
    assert Signature(config).output_order == order


def test_of_unknown_outputs_the_first_by_name_is_named() -> None:
    asked = request((1, 1), bytes(4))
    asked.outputs = [RequestedOutput("b"), RequestedOutput("a")]
    with pytest.raises(InvalidArgument, match="unexpected inference output 'a' for model 'm'"):
        signature("data_type: TYPE_FP32 dims: 1").admit(asked)


@pytest.mark.parametrize("max_batch_size", [1, 4])
def test_a_batch_of_no_rows_has_no_room_for_others(max_batch_size: int) -> None:
    signature_ = signature("data_type: TYPE_FP32 dims: [ -1 ]", max_batch_size)
    for admitted in (signature_.admit(request((0, 0), b"")), signature_.admit_arrays({"x": np.zeros((0, 3), "f4")})):
        assert (admitted.rows, admitted.empty) == (max_batch_size, True)
    assert not signature_.admit(request((1, 0), b"")).empty


def test_a_model_that_does_not_batch_may_be_sent_no_rows() -> None:
    admitted = signature("data_type: TYPE_FP32 dims: [ -1, 2 ]", 0).admit(request((0, 2), b""))
    assert (admitted.rows, admitted.empty) == (1, False)


@pytest.mark.parametrize("as_json", [False, True])
def test_texts_count_with_what_they_take_in_memory(as_json: bool) -> None:
    texts = [b"x" * 100_000, b"", b"y" * 50_000]
    data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    asked = request((1, 3), data, "BYTES")
    if as_json:
        asked = InferRequest(inputs=[InferInput("x", "BYTES", (1, 3), np.array(texts, object))])
    admitted = signature("data_type: TYPE_STRING dims: [ -1 ]").admit(asked)
    assert 150_000 < admitted.byte_size < 151_000


def test_only_inputs_that_may_not_be_ragged_keep_requests_out_of_one_batch() -> None:
    ragged = "data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true"
    described = signature(ragged + '} input { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ]')
    kinds = {
        described.shape_key({"x": np.zeros(shape, "<f4"), "y": np.zeros((rows, length, 2), "<f4")})
        for shape, rows, length in (((1, 2), 1, 5), ((2, 7), 2, 5), ((1, 2), 1, 6))
    }
    assert kinds == {(("x", None), ("y", (5, 2))), (("x", None), ("y", (6, 2)))}


class ChangingMemory:
    """A client who writes to his memory as soon as it was looked at."""

    def __init__(self) -> None:
        self.segment = bytearray(b"\2\0\0\0ab")
        self.byte_size = len(self.segment)
        self.description: Mapping[str, int | str] = {}

    def read(self, offset: int, size: int) -> memoryview:
        return memoryview(self.segment)[offset : offset + size]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self.segment[offset : offset + len(data)] = data


def test_texts_are_read_of_a_copy_that_no_client_can_change(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, decode = ChangingMemory(), bytes_tensor.decode

    def decode_late(data: memoryview, *more: Any) -> Any:
        memory.write(0, b"\x99")
        return decode(data, *more)

    monkeypatch.setattr(bytes_tensor, "decode", decode_late)
    asked = InferRequest(inputs=[InferInput("x", "BYTES", (1, 1), Window(memory, "r", 0, 6))])
    admitted = signature("data_type: TYPE_STRING dims: [ 1 ]").admit(asked)
    assert admitted.inputs["x"].tolist() == [[b"ab"]]


@pytest.mark.parametrize(
    ("inputs", "max_batch_size", "shape", "text"),
    [
        ("data_type: TYPE_FP32 dims: [ -1 ]", 0, (-1,), "All input dimensions should be specified for input 'x' .*-1]"),
        (
            "data_type: TYPE_FP32 dims: [ -1 ]",
            4,
            (1, -1),
            "All input dimensions should be .* for model 'm', got \\[1,-",
        ),
        ("data_type: TYPE_FP32 dims: [ 2, -1 ]", 0, (3, -1), "unexpected shape for .* Expected \\[2,-1], got \\[3,-1]"),
        ("data_type: TYPE_FP32 dims: [ -1, 2 ]", 0, (-1, 3), "All input dimensions should be specified"),
        ("data_type: TYPE_FP32 dims: [ 2 ]", 0, (-2,), "unexpected shape for input 'x' for model 'm'. Expected \\[2]"),
        ("data_type: TYPE_FP32 dims: [ -1 ]", 0, (-1, 1), "unexpected shape for .* Expected \\[-1], got \\[-1,1]"),
        ("data_type: TYPE_FP32 dims: [ -1 ]", 0, (-2,), "^tensor 'x' contains an invalid dimension \\[-2]$"),
        ("data_type: TYPE_FP32 dims: [ -1, -1 ]", 0, (-2, -3), "^tensor 'x' contains an invalid dimension \\[-2,-3]$"),
        ("data_type: TYPE_STRING dims: [ -1 ]", 0, (-2,), "^tensor 'x' contains an invalid dimension in shape \\[-2]$"),
        ("data_type: TYPE_FP32 dims: [ -1 ]", 4, (-1, 1), "inference request batch-size must be <= 4 for 'm'"),
    ],
)
def test_a_dimension_below_0_is_refused(inputs: str, max_batch_size: int, shape: tuple[int, ...], text: str) -> None:
    datatype = "BYTES" if "STRING" in inputs else "FP32"
    with pytest.raises(InvalidArgument, match=text):
        signature(inputs, max_batch_size).admit(request(shape, bytes(24), datatype))


def test_a_batch_below_0_is_that_of_no_other_input() -> None:
    with pytest.raises(InvalidArgument, match="input 'x' batch size does not match other inputs for 'm'"):
        signature(PAIR).admit(two((-1, 1), (-1, 1)))
