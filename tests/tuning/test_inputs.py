import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.tuning.inputs import make_batch, random_row


def config(inputs: str, max_batch_size: int = 8) -> ModelConfig:
    return text_format.Parse(f'name: "m" max_batch_size: {max_batch_size} {inputs}', ModelConfig())


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("FP32", "f4"), ("FP16", "f2"), ("BF16", "u2"), ("INT64", "i8"), ("UINT8", "u1"), ("BOOL", "?"), ("STRING", "O")],
)
def test_a_row_has_the_datatype_and_a_batch_dimension(datatype: str, dtype: str) -> None:
    row = random_row(config(f'input {{ name: "x" data_type: TYPE_{datatype} dims: [ 2, 3 ] }}'), {})
    assert (row["x"].dtype, row["x"].shape) == (np.dtype(dtype), (1, 2, 3))


def test_bf16_bits_are_numbers_between_0_and_1() -> None:
    row = random_row(config('input { name: "x" data_type: TYPE_BF16 dims: 100 }'), {})
    values = (row["x"].astype(np.uint32) << 16).view(np.float32)
    assert values.min() >= 0
    assert 0.3 < values.mean() < 0.7


def test_integers_may_be_indices_into_something_small() -> None:
    row = random_row(config('input { name: "x" data_type: TYPE_INT32 dims: 100 }'), {})
    assert set(row["x"].ravel()) == {0, 1}


def test_without_batch_dimension_the_shape_is_the_inputs() -> None:
    row = random_row(config('input { name: "x" data_type: TYPE_FP32 dims: 3 }', 0), {})
    assert row["x"].shape == (3,)
    assert make_batch(row, 4, batches=False).rows == 0


def test_the_model_sees_reshaped_rows_and_no_optional_inputs() -> None:
    tensors = """input { name: "x" data_type: TYPE_FP32 dims: 4 reshape { shape: [ 2, 2 ] } }
        input { name: "o" data_type: TYPE_FP32 dims: 4 optional: true }"""
    assert {name: array.shape for name, array in random_row(config(tensors), {}).items()} == {"x": (1, 2, 2)}


@pytest.mark.parametrize("datatype", ["FP32", "STRING", "BF16"])
def test_a_shape_that_no_array_has_is_refused(datatype: str) -> None:
    tensors = config(f'input {{ name: "x" data_type: TYPE_{datatype} dims: [ -1, -1 ] }}')
    with pytest.raises(InvalidArgument) as error:
        random_row(tensors, {"x": (1 << 40, 1 << 40)})
    assert error.value.message.startswith(
        f"model 'm': input 'x': expected a shape to make a row of, got [1, {1 << 40}, {1 << 40}]: "
    )


def test_variable_dimensions_are_taken_from_the_shape_given() -> None:
    tensors = 'input { name: "ids" data_type: TYPE_INT64 dims: [ -1, 2 ] }'
    assert random_row(config(tensors), {"ids": (128, 2)})["ids"].shape == (1, 128, 2)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (
            {},
            "model 'm': input 'ids' has the variable shape [-1, 2]: say which one to measure, for example "
            "--shape ids:8,2",
        ),
        ({"ids": (5, 3)}, "model 'm': input 'ids': expected a shape that fits [-1, 2], got [5, 3]"),
        ({"ids": (5,)}, "model 'm': input 'ids': expected a shape that fits [-1, 2], got [5]"),
        ({"x": (5,)}, "model 'm' has no input 'x'; its inputs are ids"),
    ],
)
def test_shapes_that_are_missing_or_do_not_fit(shapes: dict[str, tuple[int, ...]], text: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        random_row(config('input { name: "ids" data_type: TYPE_INT64 dims: [ -1, 2 ] }'), shapes)
    assert error.value.message == text


def test_a_batch_is_made_of_single_row_requests() -> None:
    batch = make_batch({"x": np.zeros((1, 2))}, 3, batches=True)
    assert ([part.shape for part in batch.inputs["x"]], batch.rows) == ([(1, 2)] * 3, 3)
