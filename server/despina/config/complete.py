"""What a configuration leaves to the model file: tensors, batch size, dynamic batching (config §3.5)."""

import logging
from collections.abc import Mapping

from despina.config.datatypes import data_type
from despina.config.proto import ModelConfig, copy_of
from despina.config.shape_buckets import built_inputs
from despina.errors import InvalidArgument
from despina_backends.base import TensorMetadata

_log = logging.getLogger(__name__)

DEFAULT_MAX_BATCH_SIZE = 4

DEFAULT_MAX_BATCH_SIZE_KEY = "default-max-batch-size"

Tensors = Mapping[str, TensorMetadata]
"""By name."""


def default_max_batch_size(backend_config: Mapping[str, Mapping[str, str]], backend: str) -> int:
    """The batch size for models that can batch and do not say how far, from the `--backend-config` settings.

    `backend_config` is keyed by backend name, "" for settings of every backend; a backend's own win. Raises
    InvalidArgument when the value is no integer.
    """
    for owner in (backend, ""):
        value = backend_config.get(owner, {}).get(DEFAULT_MAX_BATCH_SIZE_KEY)
        if value is not None:
            try:
                return int(value)
            except ValueError:
                raise InvalidArgument(
                    f"--backend-config {DEFAULT_MAX_BATCH_SIZE_KEY} must be an integer, got '{value}'"
                ) from None
    return DEFAULT_MAX_BATCH_SIZE


def is_complete(config: ModelConfig) -> bool:
    """Whether the configuration lists its tensors, so that the model is not asked for anything."""
    return bool((config.input or config.batch_input) and config.output)


def complete_from_model(
    config: ModelConfig, inputs: Tensors, outputs: Tensors, default_max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
) -> ModelConfig:
    """A copy of `config` with max_batch_size, dynamic_batching, input and output filled in from the model.

    `inputs` and `outputs` are the model's own tensors, shapes with the batch dimension, -1 for a variable one. A
    configuration that already lists inputs and outputs is left alone. Raises InvalidArgument when max_batch_size is
    set for a model that cannot batch.
    """
    completed = copy_of(config)
    if is_complete(config):
        _log.info(
            "skipping model configuration auto-complete for '%s': inputs and outputs already specified", config.name
        )
        return completed
    built = built_inputs(config)
    required = {name: tensor for name, tensor in inputs.items() if not tensor.optional and name not in built}
    _complete_batching(completed, _can_batch(required, outputs), default_max_batch_size)
    if not completed.input:
        _add_tensors(completed, "input", required)
    if not completed.output:
        _add_tensors(completed, "output", outputs)
    return completed


def _can_batch(inputs: Tensors, outputs: Tensors) -> bool:
    return all(tensor.shape[:1] == (-1,) for tensors in (inputs, outputs) for tensor in tensors.values())


def _complete_batching(config: ModelConfig, batches: bool, default_max_batch_size: int) -> None:
    if not batches:
        if config.max_batch_size != 0:
            raise InvalidArgument(
                f"autofill failed for model '{config.name}': model does not support batching while non-zero "
                "max_batch_size is specified"
            )
        return
    if config.max_batch_size == 0:
        config.max_batch_size = max(default_max_batch_size, 0)
        # "supporrted" is the field's spelling; log readers match on it.
        _log.warning(
            "autofilled max_batch_size to %d for model '%s' since batching is supporrted but no max_batch_size is "
            "specified in model configuration. Must specify max_batch_size to utilize autofill with a larger max "
            "batch size",
            config.max_batch_size,
            config.name,
        )
    if config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None:
        config.dynamic_batching.SetInParent()


def _add_tensors(config: ModelConfig, field: str, tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        added = getattr(config, field).add(name=name, data_type=data_type(tensor.datatype))
        dims = tensor.shape[1:] if config.max_batch_size > 0 else tensor.shape
        added.dims.extend(dims or (1,))
        if not dims and config.max_batch_size > 0:
            # A configuration cannot say "no dimension", so one row looks like [1] to clients and like [] to the model.
            added.reshape.SetInParent()
