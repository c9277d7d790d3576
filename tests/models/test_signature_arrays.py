"""Admission of tensors that are arrays already: what ensembles hand to their steps."""

import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.admitted import MAX_KINDS
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


def test_arrays_like_earlier_ones_come_to_the_same() -> None:
    text = (
        'name: "m" max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] reshape { shape: [ 2, 1 ] } }'
    )
    text += 'input { name: "y" data_type: TYPE_INT8 dims: [ -1 ] }'
    signature = Signature(text_format.Parse(text, ModelConfig()))
    for shapes in [((3, 2), (3, 5)), ((2,), (7,)), ((0, 2), (0, 1)), ((3, 2), (3, 5)), ((2,), (7,)), ((0, 2), (0, 1))]:
        sent = {"x": np.ones(shapes[0], np.float32), "y": np.ones(shapes[1], np.int8)}
        fresh = Signature(text_format.Parse(text, ModelConfig())).admit_arrays(sent)
        admitted = signature.admit_arrays(sent)
        assert {name: array.shape for name, array in admitted.inputs.items()} == {
            name: array.shape for name, array in fresh.inputs.items()
        }
        assert all(np.shares_memory(admitted.inputs[name], array) for name, array in sent.items() if array.size)
        facts = [(each.rows, each.shape_key, each.byte_size, each.empty) for each in (admitted, fresh)]
        assert facts[0] == facts[1]


def test_arrays_that_differ_in_anything_from_known_ones_are_checked() -> None:
    signature = Signature(
        text_format.Parse('name: "m" input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }', ModelConfig())
    )
    for _ in range(2):
        signature.admit_arrays({"x": np.zeros(2, np.float32)})
    for name, array in [
        ("x", np.zeros(3, np.float32)),
        ("x", np.zeros(2, np.int32)),
        ("x", np.zeros(2, ">f4")),
        ("y", np.zeros(2, np.float32)),
    ]:
        with pytest.raises(InvalidArgument):
            signature.admit_arrays({name: array})


def test_texts_are_measured_every_time() -> None:
    signature = Signature(
        text_format.Parse('name: "m" input { name: "s" data_type: TYPE_STRING dims: [ 1 ] }', ModelConfig())
    )
    sizes = [signature.admit_arrays({"s": np.array([text], object)}).byte_size for text in (b"a", b"abc")]
    assert sizes[1] == sizes[0] + 2


def test_few_kinds_are_remembered() -> None:
    signature = Signature(
        text_format.Parse('name: "m" input { name: "x" data_type: TYPE_INT8 dims: [ -1 ] }', ModelConfig())
    )
    for length in range(1, 3 * MAX_KINDS):
        assert signature.admit_arrays({"x": np.zeros(length, np.int8)}).inputs["x"].shape == (length,)
    assert len(signature._known_arrays._known) <= MAX_KINDS
