"""Checks of a configuration's tensors (config §3.7). Every message ends in ` for <model>`."""

import math
from collections.abc import Sequence
from typing import Any

from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.errors import InvalidArgument

_INPUT: Any = model_config_pb2.ModelInput
_INVALID = model_config_pb2.TYPE_INVALID
_BATCH_TYPES = (model_config_pb2.TYPE_INT32, model_config_pb2.TYPE_FP32)


def validate_io(config: ModelConfig) -> None:
    """Check input, output, batch_input and batch_output. Raises InvalidArgument."""
    try:
        for tensor in config.input:
            _validate_tensor(tensor, "model input", config.max_batch_size)
            if tensor.format != _INPUT.FORMAT_NONE and len(tensor.dims) != 3:
                raise InvalidArgument("model input NHWC/NCHW require 3 dims")
            _validate_tensorrt_only(tensor, config.platform)
        for tensor in config.output:
            _validate_tensor(tensor, "model output", config.max_batch_size)
            _validate_tensorrt_only(tensor, config.platform)
        _validate_batch_inputs(config)
        _validate_batch_outputs(config)
    except InvalidArgument as error:
        raise InvalidArgument(f"{error.message} for {config.name}") from None


def _validate_tensor(tensor: Message, kind: str, max_batch_size: int) -> None:
    if not tensor.name:
        raise InvalidArgument(f"{kind} must specify 'name'")
    subject = f"{kind} '{tensor.name}'"
    if tensor.data_type == _INVALID:
        raise InvalidArgument(f"{subject} must specify 'data_type'")
    if not tensor.dims:
        raise InvalidArgument(f"{subject} must specify 'dims'")
    if tensor.HasField("reshape") and not tensor.reshape.shape and max_batch_size == 0:
        raise InvalidArgument(
            f"{subject} cannot have empty reshape for non-batching model as scalar tensors are not supported"
        )
    if not _are_dimensions(tensor.dims):
        raise InvalidArgument(f"{subject} dimension must be integer >= 1, or -1 to indicate a variable-size dimension")
    if tensor.HasField("reshape"):
        _validate_reshape(tensor.dims, tensor.reshape.shape, subject)


def _are_dimensions(dims: Sequence[int]) -> bool:
    return all(dim >= 1 or dim == -1 for dim in dims)


def _validate_reshape(dims: Sequence[int], shape: Sequence[int], subject: str) -> None:
    if not _are_dimensions(shape):
        raise InvalidArgument(
            f"{subject} reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension"
        )
    fixed, reshaped = _products(dims), _products(shape)
    if (len(fixed) > 1) != (len(reshaped) > 1):
        raise InvalidArgument(f"{subject} has different size for dims and reshape")
    if len(fixed) != len(reshaped):
        raise InvalidArgument(f"{subject} has different number of variable-size dimensions for dims and reshape")
    if fixed != reshaped:
        raise InvalidArgument(f"{subject} has different size for dims and reshape")


def _products(dims: Sequence[int]) -> list[int]:
    """Element counts of the stretches between variable dimensions; a single one when there is none."""
    stretches: list[list[int]] = [[]]
    for dim in dims:
        if dim == -1:
            stretches.append([])
        else:
            stretches[-1].append(dim)
    return [math.prod(stretch) for stretch in stretches]


def _validate_tensorrt_only(tensor: Message, platform: str) -> None:
    if platform == "tensorrt_plan":
        return
    if tensor.is_shape_tensor:
        raise InvalidArgument("shape tensors are only supported for TensorRT platform")
    if tensor.is_non_linear_format_io:
        raise InvalidArgument("Non-linear IO format is only supported for the TensorRT platform")


def _validate_batch_inputs(config: ModelConfig) -> None:
    inputs = {tensor.name for tensor in config.input}
    for batch_input in config.batch_input:
        _validate_source_count(batch_input, model_config_pb2.BatchInput, "input")
        if batch_input.data_type not in _BATCH_TYPES:
            raise InvalidArgument("batch input data type must be TYPE_INT32 or TYPE_FP32")
        _validate_source(batch_input, inputs)


def _validate_batch_outputs(config: ModelConfig) -> None:
    inputs = {tensor.name for tensor in config.input}
    outputs = {tensor.name for tensor in config.output}
    targets: set[str] = set()
    for batch_output in config.batch_output:
        _validate_source_count(batch_output, model_config_pb2.BatchOutput, "output")
        _validate_source(batch_output, inputs)
        for target in batch_output.target_name:
            if target not in outputs:
                raise InvalidArgument(f"unknown target output name '{target}'")
            if target in targets:
                raise InvalidArgument(f"target output name '{target}' can only be specified once")
            targets.add(target)


def _validate_source_count(item: Message, message_type: Any, side: str) -> None:
    if len(item.source_input) != 1:
        kind = message_type.Kind.Name(item.kind)
        raise InvalidArgument(f"batch {side} kind '{kind}' expects 1 source input, got {len(item.source_input)}")


def _validate_source(item: Message, inputs: set[str]) -> None:
    if item.source_input[0] not in inputs:
        raise InvalidArgument(f"unknown source input name '{item.source_input[0]}'")
