"""Whether the control and state tensors of a sequence model are what the model has (config §3.8, §6.1)."""

from collections.abc import Iterator

from despina.config.complete import Tensors
from despina.config.datatypes import config_name, data_type
from despina.config.dims import shape_text
from despina.config.proto import Message, ModelConfig
from despina.errors import Internal, InvalidArgument
from despina_backends.base import TensorMetadata

PAIR_TYPES = {"int32_false_true": "TYPE_INT32", "fp32_false_true": "TYPE_FP32", "bool_false_true": "TYPE_BOOL"}
"""The types of a control's tensor, by the pair of values that it has."""
_ONNX_NAMES = {"FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE", "BF16": "BFLOAT16", "BYTES": "STRING"}


def match_controls(config: ModelConfig, inputs: Tensors) -> None:
    """Raises InvalidArgument, or Internal for a control the model lacks."""
    for name, control in controls(config):
        if name not in inputs:
            raise Internal(f"configuration specified sequence control '{name}', but model does not provide that input")
        _match_control(config, inputs[name], control)


def match_states(config: ModelConfig, inputs: Tensors, outputs: Tensors) -> None:
    """Raises InvalidArgument."""
    for state in config.sequence_batching.state:
        model_input = find_tensor(state.input_name, inputs, "input")
        model_output = find_tensor(state.output_name, outputs, "output")
        _match_state(config, state, model_input, "input")
        _match_state(config, state, model_output, "output")


def controls(config: ModelConfig) -> Iterator[tuple[str, Message]]:
    """Every control with the name of the input tensor that carries it."""
    for tensor in config.sequence_batching.control_input:
        for control in tensor.control:
            yield tensor.name, control


def _match_control(config: ModelConfig, model: TensorMetadata, control: Message) -> None:
    complaint = f"unable to load model '{config.name}', sequence control '{model.name}'"
    dims = model.shape[1:] if config.max_batch_size > 0 else model.shape
    if dims != (1,):
        raise InvalidArgument(f"{complaint} in model has dims {shape_text(dims)} but dims [1] is expected")
    expected = control_type(control)
    if expected != config_name(data_type(model.datatype)):
        onnx_name = _ONNX_NAMES.get(model.datatype, model.datatype)
        raise InvalidArgument(
            f"{complaint}, the model expects data-type {onnx_name} but the model configuration specifies data-type "
            f"{expected}"
        )


def control_type(control: Message) -> str:
    """The type of a control's tensor, as configurations spell it: of its pair of values, or its own."""
    for pair, name in PAIR_TYPES.items():
        if getattr(control, pair):
            return name
    return config_name(control.data_type)


def find_tensor(name: str, tensors: Tensors, kind: str) -> TensorMetadata:
    """The model's own input or output (`kind`) of that name. Raises InvalidArgument when it has none."""
    if name not in tensors:
        allowed = ", ".join(sorted(tensors))
        raise InvalidArgument(f"unexpected inference {kind} '{name}', allowed {kind}s are: {allowed}")
    return tensors[name]


def _match_state(config: ModelConfig, state: Message, model: TensorMetadata, kind: str) -> None:
    if state.data_type != data_type(model.datatype):
        raise InvalidArgument(
            f"unable to load model '{config.name}', configuration expects datatype {config_name(state.data_type)} for "
            f"state {kind} '{model.name}', model provides TYPE_{model.datatype}"
        )
    dims = (-1, *state.dims) if config.max_batch_size > 0 else tuple(state.dims)
    if len(dims) != len(model.shape) or not all(
        -1 in (ours, theirs) or ours == theirs for ours, theirs in zip(dims, model.shape, strict=True)
    ):
        raise InvalidArgument(
            f"unable to load model '{config.name}', configuration expects shape {shape_text(dims)} for state {kind} "
            f"'{model.name}', model provides {shape_text(model.shape)}"
        )
