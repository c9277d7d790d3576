"""Whether a configuration fits the model it is for (config §3.8)."""

from collections.abc import Collection, Sequence

from despina.config.complete import Tensors
from despina.config.datatypes import config_name, data_type
from despina.config.dims import model_dims, shape_text
from despina.config.match_sequences import controls, find_tensor, match_controls, match_states
from despina.config.proto import Message, ModelConfig
from despina.config.shape_buckets import built_inputs
from despina.errors import Internal, InvalidArgument
from despina_backends.base import TensorMetadata


def match_model(config: ModelConfig, inputs: Tensors, outputs: Tensors, omissible: Collection[str] = ()) -> None:
    """Compare the tensors of a complete configuration with the model's own.

    Shapes in `inputs` and `outputs` include the batch dimension, -1 is variable; optional inputs are those the model
    has a value for, and `omissible` those that it does without in batches, too. Raises InvalidArgument, or Internal for
    a sequence control the model lacks and for TYPE_BF16 where the model has another.
    """
    match_controls(config, inputs)
    _match_count(config, inputs)
    for tensor in config.input:
        _match_input(config, tensor, inputs, omissible)
    scattered = {name for batch_output in config.batch_output for name in batch_output.target_name}
    for tensor in config.output:
        model = find_tensor(tensor.name, outputs, "output")
        if tensor.name in scattered and model.shape == (-1,):
            # One vector for the whole batch, whose pieces have the shapes of an input.
            _match_type(config, tensor, model, "output")
        else:
            _match_tensor(config, tensor, model, "output")
    match_states(config, inputs, outputs)


def _match_count(config: ModelConfig, inputs: Tensors) -> None:
    expected = sum(not tensor.optional for tensor in config.input)
    expected += sum(len(batch_input.target_name) for batch_input in config.batch_input)
    expected += len(built_inputs(config))
    expected += len({name for name, _ in controls(config)}) + len(config.sequence_batching.state)
    provided = sum(not tensor.optional for tensor in inputs.values())
    if expected != provided:
        raise InvalidArgument(
            f"unable to load model '{config.name}', configuration expects {expected} inputs, model provides {provided}"
        )


def _match_input(config: ModelConfig, tensor: Message, inputs: Tensors, omissible: Collection[str]) -> None:
    model = find_tensor(tensor.name, inputs, "input")
    if tensor.optional and config.max_batch_size > 0 and tensor.name not in omissible:
        raise InvalidArgument(
            f"unable to load model '{config.name}', optional input '{tensor.name}' is not supported for models that "
            "support batching"
        )
    if tensor.allow_ragged_batch:
        _match_type(config, tensor, model, "input")
        _match_ragged(config, tensor, model)
    else:
        _match_tensor(config, tensor, model, "input")


def _match_ragged(config: ModelConfig, tensor: Message, model: TensorMetadata) -> None:
    if tensor.optional:
        raise InvalidArgument(
            f"unable to load model '{config.name}', configuration expects model provides input with shape [-1] for "
            f"ragged input '{model.name}', which is not supported for optional input"
        )
    if model.shape != (-1,):
        raise InvalidArgument(
            f"unable to load model '{config.name}', configuration expects model provides input with shape [-1]  for "
            f"ragged input '{model.name}', model provides {shape_text(model.shape)}"
        )


def _match_tensor(config: ModelConfig, tensor: Message, model: TensorMetadata, kind: str) -> None:
    _match_type(config, tensor, model, kind)
    dims = model_dims(tensor)
    if not model.shape and config.max_batch_size == 0:
        _match_scalar(config, model, dims)
    else:
        _match_dims(config, model, dims, exact=kind == "output")


def _match_type(config: ModelConfig, tensor: Message, model: TensorMetadata, kind: str) -> None:
    if tensor.data_type == data_type(model.datatype):
        return
    expected = config_name(tensor.data_type)
    if expected == "TYPE_BF16":
        raise Internal(f"unsupported datatype {expected} for {kind} '{tensor.name}' for model '{config.name}'")
    raise InvalidArgument(
        f"unable to load model '{config.name}', configuration expects datatype {expected} for {kind} "
        f"'{tensor.name}', model provides TYPE_{model.datatype}"
    )


def _match_scalar(config: ModelConfig, model: TensorMetadata, dims: Sequence[int]) -> None:
    if any(dim != 1 for dim in dims):
        raise InvalidArgument(
            f"unable to load model '{config.name}', scalar tensor '{model.name}', should only provide 1 in the model "
            f"configuration when the model doesn't support batching. Model configuration provided: {shape_text(dims)}."
        )


def _match_dims(config: ModelConfig, model: TensorMetadata, dims: Sequence[int], exact: bool) -> None:
    """`exact`: the model's variable dimensions must be variable in the configuration, too."""
    batching = config.max_batch_size > 0
    if batching and model.shape[:1] != (-1,):
        raise InvalidArgument(
            f"model '{config.name}', tensor '{model.name}': for the model to support batching the shape should have "
            "at least 1 dimension and the first dimension must be -1; but shape expected by the model is "
            f"{shape_text(model.shape)}"
        )
    configured = (-1, *dims) if batching else tuple(dims)
    if len(configured) == len(model.shape) and all(
        ours == theirs or (theirs == -1 and not exact) for ours, theirs in zip(configured, model.shape, strict=True)
    ):
        return
    complete = f"(shape {shape_text(configured)})"
    if batching:
        complete = (
            "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making "
            f"complete shape {shape_text(configured)})"
        )
    raise InvalidArgument(
        f"model '{config.name}', tensor '{model.name}': the model expects {len(model.shape)} dimensions (shape "
        f"{shape_text(model.shape)}) but the model configuration specifies {len(configured)} dimensions {complete}"
    )
