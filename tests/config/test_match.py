import pytest

from despina.config.match import match_model
from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.errors import Internal, InvalidArgument
from despina_backends.base import TensorMetadata

Shapes = dict[str, tuple[int, ...]]


def config(text: str) -> ModelConfig:
    return parse_text(f'name: "m" {text}')


def tensor(kind: str, name: str, fields: str, data_type: str = "FP32") -> str:
    return f'{kind} {{ name: "{name}" data_type: TYPE_{data_type} {fields} }} '


def match(text: str, inputs: Shapes, outputs: Shapes, optional: str = "") -> None:
    match_model(
        config(text),
        {name: TensorMetadata(name, "FP32", shape, name in optional) for name, shape in inputs.items()},
        {name: TensorMetadata(name, "FP32", shape) for name, shape in outputs.items()},
    )


X = tensor("input", "x", "dims: 2")
Y = tensor("output", "y", "dims: 2")
BATCH = "max_batch_size: 4 "
STATE = 'sequence_batching { state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: 1 } }'
SCATTER = 'batch_output { target_name: "y" source_input: "x" kind: BATCH_SCATTER_WITH_INPUT_SHAPE }'
BUCKET = """
parameters { key: "shape_bucket.x" value { string_value: "sizes=4" } }
parameters { key: "shape_bucket.x.mask_input" value { string_value: "mask" } }
"""
CONTROL = 'sequence_batching { control_input { name: "START" control { fp32_false_true: [ 0, 1 ] } } }'


@pytest.mark.parametrize(
    ("text", "inputs", "outputs", "optional"),
    [
        (BATCH + X + Y, {"x": (-1, 2)}, {"y": (-1, 2)}, ""),
        (BATCH + X + Y, {"x": (-1, -1)}, {"y": (-1, 2)}, ""),
        (X + Y, {"x": (2,)}, {"y": (2,)}, ""),
        (X + Y, {"x": (-1,)}, {"y": (2,), "other": (3,)}, ""),
        (X + Y, {"x": (2,), "weight": (3,)}, {"y": (2,)}, "weight"),
        (X + tensor("input", "w", "dims: 3 optional: true") + Y, {"x": (2,), "w": (3,)}, {"y": (2,)}, "w"),
        (tensor("input", "x", "dims: [ 1, 1 ]") + Y, {"x": ()}, {"y": (2,)}, ""),
        (X + tensor("output", "y", "dims: 1"), {"x": (2,)}, {"y": ()}, ""),
        (BATCH + tensor("input", "x", "dims: 1 reshape { }") + Y, {"x": (-1,)}, {"y": (-1, 2)}, ""),
        (BATCH + tensor("input", "x", "dims: 4 allow_ragged_batch: true") + Y, {"x": (-1,)}, {"y": (-1, 2)}, ""),
        (BATCH + X + tensor("output", "y", "dims: -1") + SCATTER, {"x": (-1, 2)}, {"y": (-1,)}, ""),
        (BATCH + X + Y + BUCKET, {"x": (-1, 2), "mask": (-1, -1)}, {"y": (-1, 2)}, ""),
        (BATCH + X + Y + CONTROL, {"x": (-1, 2), "START": (-1, 1)}, {"y": (-1, 2)}, ""),
        (
            BATCH + X + Y + STATE,
            {"x": (-1, 2), "s": (-1, 1)},
            {"y": (-1, 2), "t": (-1, 1)},
            "",
        ),
    ],
)
def test_configurations_that_fit_pass(text: str, inputs: Shapes, outputs: Shapes, optional: str) -> None:
    match(text, inputs, outputs, optional)


NO_BATCHING = (
    "model 'm', tensor 'x': for the model to support batching the shape should have at least 1 dimension and the first "
    "dimension must be -1; but shape expected by the model is "
)
INITIAL = (
    "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete"
)
DIFFERS = "model 'm', tensor '{}': the model expects {} dimensions (shape {}) but the model configuration specifies {}"


@pytest.mark.parametrize(
    ("text", "inputs", "outputs", "message"),
    [
        (
            X + Y,
            {"x": (2,), "x2": (2,)},
            {"y": (2,)},
            "unable to load model 'm', configuration expects 1 inputs, model provides 2",
        ),
        (
            X + X + Y,
            {"x": (2,)},
            {"y": (2,)},
            "unable to load model 'm', configuration expects 2 inputs, model provides 1",
        ),
        (
            tensor("input", "x", "dims: 2 optional: true") + Y,
            {"x": (2,)},
            {"y": (2,)},
            "unable to load model 'm', configuration expects 0 inputs, model provides 1",
        ),
        (
            tensor("input", "q", "dims: 2") + X + Y,
            {"x": (2,), "a": (2,)},
            {"y": (2,)},
            "unexpected inference input 'q', allowed inputs are: a, x",
        ),
        (
            X + tensor("output", "q", "dims: 2"),
            {"x": (2,)},
            {"y": (2,), "b": (2,)},
            "unexpected inference output 'q', allowed outputs are: b, y",
        ),
        (
            tensor("input", "x", "dims: 2", "INT32") + Y,
            {"x": (2,)},
            {"y": (2,)},
            "unable to load model 'm', configuration expects datatype TYPE_INT32 for input 'x', "
            "model provides TYPE_FP32",
        ),
        (
            X + tensor("output", "y", "dims: 2", "STRING"),
            {"x": (2,)},
            {"y": (2,)},
            "unable to load model 'm', configuration expects datatype TYPE_STRING for output 'y', "
            "model provides TYPE_FP32",
        ),
        (BATCH + X + Y, {"x": (1, 2)}, {"y": (-1, 2)}, NO_BATCHING + "[1,2]"),
        (BATCH + X + Y, {"x": ()}, {"y": (-1, 2)}, NO_BATCHING + "[]"),
        (
            BATCH + X + Y,
            {"x": (-1, 3)},
            {"y": (-1, 2)},
            DIFFERS.format("x", 2, "[-1,3]", f"2 dimensions {INITIAL} shape [-1,2])"),
        ),
        (
            BATCH + X + Y,
            {"x": (-1, 2, 2)},
            {"y": (-1, 2)},
            DIFFERS.format("x", 3, "[-1,2,2]", f"2 dimensions {INITIAL} shape [-1,2])"),
        ),
        (
            X + Y,
            {"x": (2,)},
            {"y": (-1,)},
            DIFFERS.format("y", 1, "[-1]", "1 dimensions (shape [2])"),
        ),
        (
            tensor("input", "x", "dims: -1") + Y,
            {"x": (2,)},
            {"y": (2,)},
            DIFFERS.format("x", 1, "[2]", "1 dimensions (shape [-1])"),
        ),
        (
            tensor("input", "x", "dims: 2 reshape { shape: [ 1, 2 ] }") + Y,
            {"x": (2,)},
            {"y": (2,)},
            DIFFERS.format("x", 1, "[2]", "2 dimensions (shape [1,2])"),
        ),
        (
            tensor("input", "x", "dims: [ 1, 2 ]") + Y,
            {"x": ()},
            {"y": (2,)},
            "unable to load model 'm', scalar tensor 'x', should only provide 1 in the model configuration when the "
            "model doesn't support batching. Model configuration provided: [1,2].",
        ),
        (
            BATCH + tensor("input", "x", "dims: 4 allow_ragged_batch: true") + Y,
            {"x": (-1, 4)},
            {"y": (-1, 2)},
            "unable to load model 'm', configuration expects model provides input with shape [-1]  for ragged input "
            "'x', model provides [-1,4]",
        ),
    ],
)
def test_configurations_that_do_not_fit_are_refused(text: str, inputs: Shapes, outputs: Shapes, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        match(text, inputs, outputs)
    assert caught.value.message == message


def test_optional_inputs_that_a_backend_does_without_go_with_batching() -> None:
    given = config(BATCH + tensor("input", "x", "dims: 2 optional: true") + Y)
    inputs = {"x": TensorMetadata("x", "FP32", (-1, 2), optional=True)}
    match_model(given, inputs, {"y": TensorMetadata("y", "FP32", (-1, 2))}, omissible=("x",))


def test_optional_inputs_are_not_ragged() -> None:
    given = config(tensor("input", "x", "dims: 4 allow_ragged_batch: true optional: true") + Y)
    inputs = {"x": TensorMetadata("x", "FP32", (-1,), optional=True)}
    with pytest.raises(
        InvalidArgument, match=r"shape \[-1\] for ragged input 'x', which is not supported for optional"
    ):
        match_model(given, inputs, {"y": TensorMetadata("y", "FP32", (2,))}, omissible=("x",))


def test_optional_inputs_do_not_go_with_batching() -> None:
    with pytest.raises(InvalidArgument) as caught:
        match(
            BATCH + X + tensor("input", "w", "dims: 2 optional: true") + Y,
            {"x": (-1, 2), "w": (-1, 2)},
            {"y": (-1, 2)},
            optional="w",
        )
    assert caught.value.message == (
        "unable to load model 'm', optional input 'w' is not supported for models that support batching"
    )


def test_sequence_control_the_model_lacks_is_internal() -> None:
    with pytest.raises(Internal) as caught:
        match(BATCH + X + Y + CONTROL, {"x": (-1, 2)}, {"y": (-1, 2)})
    assert caught.value.message == (
        "configuration specified sequence control 'START', but model does not provide that input"
    )


def test_bfloat16_where_the_model_has_another_type_is_internal() -> None:
    with pytest.raises(Internal, match="unsupported datatype TYPE_BF16 for input 'x' for model 'm'"):
        match(tensor("input", "x", "dims: 2", "BF16") + Y, {"x": (2,)}, {"y": (2,)})


def test_strings_of_a_model_are_called_bytes() -> None:
    strings = {"x": TensorMetadata("x", "BYTES", (2,))}
    with pytest.raises(InvalidArgument, match="model provides TYPE_BYTES"):
        match_model(config(X), strings, {})


@pytest.mark.parametrize(("state", "output"), [("q", "y"), ("s", "q")])
def test_states_must_be_tensors_of_the_model(state: str, output: str) -> None:
    text = BATCH + X + Y + f'sequence_batching {{ state {{ input_name: "{state}" output_name: "{output}" }} }}'
    with pytest.raises(InvalidArgument, match=r"unexpected inference (in|out)put 'q'"):
        match(text, {"x": (-1, 2), "s": (-1, 1)}, {"y": (-1, 2)})
