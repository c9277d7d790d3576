import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.validate_io import validate_io
from despina.errors import InvalidArgument


def config(text: str) -> ModelConfig:
    return parse_text(f'name: "m" {text}')


def tensor(kind: str, fields: str) -> str:
    return f'{kind} {{ name: "t" data_type: TYPE_FP32 {fields} }}'


KINDS = ("input", "output")
X = tensor("input", "dims: 2")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fields",
    [
        "dims: [ 1, -1, 3 ]",
        "dims: 1 reshape { }",
        "dims: [ 1, 1 ] reshape { }",
        "dims: 6 reshape { shape: [ 2, 3 ] }",
        "dims: [ 2, 3, -1, 4 ] reshape { shape: [ 6, -1, 2, 2 ] }",
        "dims: -1 reshape { shape: [ 1, -1, 1 ] }",
    ],
)
def test_sensible_tensors_pass(kind: str, fields: str) -> None:
    validate_io(config("max_batch_size: 2 " + tensor(kind, fields)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ("data_type: TYPE_FP32 dims: 1", "must specify 'name'"),
        ('name: "t" dims: 1', "'t' must specify 'data_type'"),
        ('name: "t" data_type: TYPE_FP32', "'t' must specify 'dims'"),
        (
            'name: "t" data_type: TYPE_FP32 dims: 0',
            "'t' dimension must be integer >= 1, or -1 to indicate a variable-size dimension",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: -2',
            "'t' dimension must be integer >= 1, or -1 to indicate a variable-size dimension",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: 1 reshape { shape: 0 }',
            "'t' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: 0 reshape { }',
            "'t' cannot have empty reshape for non-batching model as scalar tensors are not supported",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: 1 reshape { }',
            "'t' cannot have empty reshape for non-batching model as scalar tensors are not supported",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: 2 reshape { shape: 3 }',
            "'t' has different size for dims and reshape",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: -1 reshape { shape: 1 }',
            "'t' has different size for dims and reshape",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: [ -1, 2 ] reshape { shape: [ -1, 3 ] }',
            "'t' has different size for dims and reshape",
        ),
        (
            'name: "t" data_type: TYPE_FP32 dims: [ -1, -1 ] reshape { shape: [ -1 ] }',
            "'t' has different number of variable-size dimensions for dims and reshape",
        ),
    ],
)
def test_impossible_tensors_are_refused(kind: str, tensor: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_io(config(f"{kind} {{ {tensor} }}"))
    assert caught.value.message == f"model {kind} {message} for m"


def test_empty_reshape_of_a_variable_or_larger_tensor_is_refused() -> None:
    for dims in ("-1", "2"):
        with pytest.raises(InvalidArgument, match="has different size for dims and reshape for m"):
            validate_io(config("max_batch_size: 2 " + tensor("input", f"dims: {dims} reshape {{ }}")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (tensor("input", "dims: [ 1, 2 ] format: FORMAT_NHWC"), "model input NHWC/NCHW require 3 dims"),
        (
            tensor("input", "dims: 1 is_shape_tensor: true"),
            "shape tensors are only supported for TensorRT platform",
        ),
        (
            tensor("output", "dims: 1 is_non_linear_format_io: true"),
            "Non-linear IO format is only supported for the TensorRT platform",
        ),
        (
            X + 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "c" data_type: TYPE_FP32 }',
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0",
        ),
        (
            X + 'batch_input { source_input: "t" target_name: "c" data_type: TYPE_INT64 }',
            "batch input data type must be TYPE_INT32 or TYPE_FP32",
        ),
        (
            X + 'batch_input { source_input: "u" target_name: "c" data_type: TYPE_INT32 }',
            "unknown source input name 'u'",
        ),
        (X + 'batch_output { source_input: "t" target_name: "u" }', "unknown target output name 'u'"),
        (
            X + 'batch_output { target_name: "t" }',
            "batch output kind 'BATCH_SCATTER_WITH_INPUT_SHAPE' expects 1 source input, got 0",
        ),
        (
            X + tensor("output", "dims: 1") + 'batch_output { source_input: "t" target_name: [ "t", "t" ] }',
            "target output name 't' can only be specified once",
        ),
    ],
)
def test_impossible_combinations_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_io(config(text))
    assert caught.value.message == f"{message} for m"


def test_tensorrt_only_fields_pass_for_tensorrt() -> None:
    validate_io(config('platform: "tensorrt_plan"' + tensor("input", "dims: 1 is_shape_tensor: true")))
