"""Admission of tensors that are arrays already: what ensembles hand to their steps."""

import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.signature import Signature
from despina.protocol.bytes_tensor import held_bytes

SIGNATURE = Signature(
    text_format.Parse(
        """
        name: "m" max_batch_size: 4
        input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] reshape { shape: [ 2, 1 ] } }
        input { name: "s" data_type: TYPE_STRING dims: [ -1 ] }
        input { name: "b" data_type: TYPE_BF16 dims: [ 1 ] }
        output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
        """,
        ModelConfig(),
    )
)
FITTING = {
    "x": np.zeros((3, 2), np.float32),
    "s": np.full((3, 5), b"text", object),
    "b": np.zeros((3, 1), np.uint16),
}


def test_arrays_are_taken_as_they_are() -> None:
    admitted = SIGNATURE.admit_arrays(FITTING)
    assert admitted.rows == 3
    assert admitted.inputs["x"].shape == (3, 2, 1)
    assert admitted.byte_size == sum(map(held_bytes, FITTING.values()))
    assert admitted.shape_key is not None
    for name, array in FITTING.items():
        assert np.shares_memory(admitted.inputs[name], array)


def test_only_requests_with_the_same_optional_inputs_run_together() -> None:
    text = 'name: "m" max_batch_size: 4 '
    text += "".join(f'input {{ name: "{name}" data_type: TYPE_FP32 dims: 1 optional: true }} ' for name in "ab")
    signature = Signature(text_format.Parse(text, ModelConfig()))
    row = np.zeros((1, 1), np.float32)
    keys = [signature.admit_arrays(dict.fromkeys(names, row)).shape_key for names in ("a", "b", "ab", "ba")]
    assert keys[2] == keys[3]
    assert len({*keys}) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.zeros((3, 2), np.float64)}, "input 'x' data-type is 'FP64', but model 'm' expects 'FP32'"),
        ({"s": np.zeros((3, 1), np.int8)}, "input 's' data-type is 'INT8', but model 'm' expects 'BYTES'"),
        ({"x": np.zeros((3, 3), np.float32)}, r"unexpected shape for input 'x' for model 'm'. Expected \[-1,2\]"),
        ({"x": np.zeros((2, 2), np.float32)}, "batch size does not match other inputs for 'm'"),
        ({name: array[[0, 0, 0, 0, 0]] for name, array in FITTING.items()}, "batch-size must be <= 4 for 'm'"),
        ({"z": np.zeros((3, 2), np.float32)}, r"\[request id: r\] expected 3 inputs but got 4 inputs for model 'm'"),
    ],
)
def test_what_does_not_fit_is_refused_as_from_a_client(changed: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        SIGNATURE.admit_arrays({**FITTING, **changed}, "r")


def test_a_single_row_may_come_without_its_batch_dimension() -> None:
    admitted = SIGNATURE.admit_arrays({name: array[0] for name, array in FITTING.items()})
    assert admitted.rows == 1
    assert admitted.inputs["x"].shape == (1, 2, 1)


def test_a_single_row_may_come_with_a_batch_dimension_that_the_model_has_not() -> None:
    text = 'name: "m" input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } input { name: "s" data_type: TYPE_FP32 }'
    scalar, vector = np.float32(3), np.zeros(2, np.float32)
    admitted = Signature(text_format.Parse(text, ModelConfig())).admit_arrays({"x": vector[np.newaxis], "s": scalar})
    assert admitted.rows == 1
    assert {name: array.shape for name, array in admitted.inputs.items()} == {"x": (2,), "s": ()}


def test_texts_count_with_what_they_take_in_memory() -> None:
    config = ModelConfig()
    text_format.Parse('name: "t" input { name: "x" data_type: TYPE_STRING dims: [ 2 ] }', config)
    admitted = Signature(config).admit_arrays({"x": np.array([b"x" * 100_000, b"y" * 50_000], object)})
    assert 150_000 < admitted.byte_size < 151_000
