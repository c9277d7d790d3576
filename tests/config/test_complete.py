import logging

import pytest

from despina.config.complete import complete_from_model, default_max_batch_size
from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.errors import InvalidArgument
from despina_backends.base import TensorMetadata

Shapes = dict[str, tuple[int, ...]]


def config(text: str) -> ModelConfig:
    return parse_text(f'name: "m" {text}')


def tensors(shapes: Shapes, datatype: str = "FP32") -> dict[str, TensorMetadata]:
    return {name: TensorMetadata(name, datatype, shape) for name, shape in shapes.items()}


BATCHED: tuple[Shapes, Shapes] = ({"x": (-1, 16)}, {"y": (-1, -1, 2)})
FIXED: tuple[Shapes, Shapes] = ({"x": (2, 16)}, {"y": (-1, 2)})
SCALAR: tuple[Shapes, Shapes] = ({"x": ()}, {"y": (-1,)})
ROWS: tuple[Shapes, Shapes] = ({"x": (-1,)}, {"y": (-1, 3)})

X16 = 'input { name: "x" data_type: TYPE_FP32 dims: 16 }'
Y = 'output { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] }'


@pytest.mark.parametrize(
    ("written", "model", "default", "expected"),
    [
        ("", BATCHED, 4, f"max_batch_size: 4 {X16} {Y} dynamic_batching {{ }}"),
        ("", BATCHED, 1, f"max_batch_size: 1 {X16} {Y}"),
        ("max_batch_size: 6", BATCHED, 4, f"max_batch_size: 6 {X16} {Y} dynamic_batching {{ }}"),
        (
            "",
            BATCHED,
            0,
            'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 16 ] }'
            'output { name: "y" data_type: TYPE_FP32 dims: [ -1, -1, 2 ] }',
        ),
        (
            "",
            BATCHED,
            -3,
            'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 16 ] }'
            'output { name: "y" data_type: TYPE_FP32 dims: [ -1, -1, 2 ] }',
        ),
        (
            "sequence_batching { }",
            BATCHED,
            4,
            f"max_batch_size: 4 {X16} {Y} sequence_batching {{ }}",
        ),
        (
            "dynamic_batching { preferred_batch_size: 2 }",
            BATCHED,
            4,
            f"max_batch_size: 4 {X16} {Y} dynamic_batching {{ preferred_batch_size: 2 }}",
        ),
        (
            'input { name: "mine" }',
            BATCHED,
            4,
            f'max_batch_size: 4 input {{ name: "mine" }} {Y} dynamic_batching {{ }}',
        ),
        (
            'output { name: "mine" }',
            BATCHED,
            4,
            f'max_batch_size: 4 {X16} output {{ name: "mine" }} dynamic_batching {{ }}',
        ),
        (
            "",
            FIXED,
            4,
            'input { name: "x" data_type: TYPE_FP32 dims: [ 2, 16 ] }'
            'output { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] }',
        ),
        (
            "",
            SCALAR,
            4,
            'input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }',
        ),
        (
            "",
            ROWS,
            4,
            'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: 1 reshape { } }'
            'output { name: "y" data_type: TYPE_FP32 dims: 3 } dynamic_batching { }',
        ),
    ],
)
def test_configuration_is_completed_from_the_model(
    written: str, model: tuple[Shapes, Shapes], default: int, expected: str
) -> None:
    completed = complete_from_model(config(written), tensors(model[0]), tensors(model[1]), default)
    assert completed == config(expected)


@pytest.mark.parametrize(
    ("datatype", "expected"),
    [("BYTES", "TYPE_STRING"), ("BF16", "TYPE_BF16"), ("UINT8", "TYPE_UINT8"), ("COMPLEX64", "TYPE_INVALID")],
)
def test_datatypes_are_translated(datatype: str, expected: str) -> None:
    completed = complete_from_model(ModelConfig(), tensors({"x": (2,)}, datatype), tensors({"y": (2,)}))
    assert completed.input[0] == config(f'input {{ name: "x" data_type: {expected} dims: 2 }}').input[0]


def test_optional_inputs_are_not_listed_and_do_not_hinder_batching() -> None:
    inputs = tensors({"x": (-1, 16)}) | {"weight": TensorMetadata("weight", "FP32", (3,), optional=True)}
    completed = complete_from_model(ModelConfig(), inputs, tensors({"y": (-1, 2)}))
    assert [tensor.name for tensor in completed.input] == ["x"]
    assert completed.max_batch_size == 4


def test_configuration_that_lists_its_tensors_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    written = config('input { name: "a" } output { name: "b" }')
    with caplog.at_level(logging.INFO):
        assert complete_from_model(written, tensors(BATCHED[0]), tensors(BATCHED[1])) == written
    assert caplog.messages == [
        "skipping model configuration auto-complete for 'm': inputs and outputs already specified"
    ]


def test_chosen_batch_size_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    complete_from_model(config(""), tensors(BATCHED[0]), tensors(BATCHED[1]))
    assert caplog.messages == [
        "autofilled max_batch_size to 4 for model 'm' since batching is supporrted but no max_batch_size is specified "
        "in model configuration. Must specify max_batch_size to utilize autofill with a larger max batch size"
    ]


@pytest.mark.parametrize("model", [FIXED, SCALAR])
def test_batch_size_for_a_model_that_cannot_batch_is_refused(model: tuple[Shapes, Shapes]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        complete_from_model(config("max_batch_size: 2"), tensors(model[0]), tensors(model[1]))
    assert caught.value.message == (
        "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified"
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 4),
        ({"": {"default-max-batch-size": "16"}}, 16),
        ({"onnxruntime": {"default-max-batch-size": "1"}, "": {"default-max-batch-size": "16"}}, 1),
        ({"other": {"default-max-batch-size": "1"}}, 4),
    ],
)
def test_default_batch_size_is_the_backends_own_setting_first(
    settings: dict[str, dict[str, str]], expected: int
) -> None:
    assert default_max_batch_size(settings, "onnxruntime") == expected


def test_default_batch_size_must_be_a_number() -> None:
    with pytest.raises(InvalidArgument, match="got 'many'"):
        default_max_batch_size({"": {"default-max-batch-size": "many"}}, "onnxruntime")
