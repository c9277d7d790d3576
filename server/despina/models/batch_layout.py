"""What a configuration says about how a batch is laid out for the model: ragged inputs and shape buckets.

Both sit around a backend's instances, so the batcher gathers every model's requests in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from despina.config.datatypes import config_name, protocol_name
from despina.config.proto import ModelConfig, model_config_pb2
from despina.config.shape_buckets import BucketSetting, read_shape_buckets
from despina.errors import InvalidArgument
from despina.protocol.datatypes import DATATYPES
from despina.scheduling.ragged import BatchInput, RaggedInstance, RaggedLayout
from despina.scheduling.shape_buckets import BuiltInput, PaddingInstance, ShapeBucket
from despina_backends.base import Instance, TensorMetadata


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """How batches of one model version are laid out. Empty for nearly all models."""

    ragged: RaggedLayout | None = None
    buckets: tuple[ShapeBucket, ...] = ()

    def around(self, instance: Instance) -> Instance:
        """`instance`, taking batches as the batcher makes them."""
        if self.ragged is not None:
            instance = RaggedInstance(instance, self.ragged)
        return PaddingInstance(instance, self.buckets) if self.buckets else instance


def batch_layout(config: ModelConfig, inputs: Mapping[str, TensorMetadata]) -> BatchLayout:
    """The layout for a model with these `inputs`. Raises InvalidArgument for buckets that do not fit it."""
    settings = read_shape_buckets(config)
    buckets = tuple(_bucket(config, setting, inputs, index == 0) for index, setting in enumerate(settings))
    return BatchLayout(ragged_layout(config), buckets)


def ragged_layout(config: ModelConfig) -> RaggedLayout | None:
    """None when nothing about the model is ragged."""
    layout = RaggedLayout(
        frozenset(item.name for item in config.input if item.allow_ragged_batch),
        tuple(
            BatchInput(
                model_config_pb2.BatchInput.Kind.Name(item.kind),
                target,
                item.source_input[0],
                DATATYPES[protocol_name(item.data_type)].dtype,
            )
            for item in config.batch_input
            for target in item.target_name
        ),
        {target: item.source_input[0] for item in config.batch_output for target in item.target_name},
    )
    return layout or None


def _bucket(
    config: ModelConfig, setting: BucketSetting, inputs: Mapping[str, TensorMetadata], is_first: bool
) -> ShapeBucket:
    item = next(item for item in config.input if item.name == setting.input)
    batch = 1 if config.max_batch_size > 0 else 0
    return ShapeBucket(
        setting.input,
        setting.axis + batch,
        setting.sizes,
        _pad_value(config, setting, item.data_type),
        _outputs(config, setting, batch, is_first),
        _built(config, setting.length_input, inputs, ()),
        _built(config, setting.mask_input, inputs, (1 + batch,)),
    )


def _pad_value(config: ModelConfig, setting: BucketSetting, data_type: int) -> object:
    datatype = DATATYPES[protocol_name(data_type)]
    if datatype.kind == "bytes":
        return setting.pad.encode() if setting.pad != "0" else b""
    try:
        return np.array(setting.pad).astype(datatype.dtype)[()]
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"model '{config.name}': shape bucket of input '{setting.input}': expected pad as a value of "
            f"{config_name(data_type)}, got '{setting.pad}'"
        ) from None


def _outputs(config: ModelConfig, setting: BucketSetting, batch: int, is_first: bool) -> dict[str, tuple[int, ...]]:
    """The variable axes of the outputs that follow an input: those it names, or all if it is the first bucket."""
    known = {item.name for item in config.output}
    if unknown := set(setting.outputs or ()) - known:
        raise InvalidArgument(
            f"model '{config.name}': shape bucket of input '{setting.input}': the configuration has no output "
            f"{', '.join(sorted(unknown))}"
        )
    wanted = set(setting.outputs) if setting.outputs is not None else (known if is_first else set())
    return {
        item.name: axes
        for item in config.output
        if item.name in wanted and not item.HasField("reshape")
        if (axes := tuple(index + batch for index, dim in enumerate(item.dims) if dim == -1))
    }


def _built(
    config: ModelConfig, name: str, inputs: Mapping[str, TensorMetadata], ranks: tuple[int, ...]
) -> BuiltInput | None:
    """An input that is made here; `ranks` are those it may have, any for none."""
    if not name:
        return None
    tensor = inputs.get(name)
    if tensor is None or any(item.name == name for item in config.input):
        reason = (
            "the model has no such input" if tensor is None else "remove it from the inputs, clients do not send it"
        )
        raise InvalidArgument(f"model '{config.name}': shape bucket fills in '{name}': {reason}")
    rank = len(tensor.shape)
    if tensor.datatype == "BYTES" or not rank or (ranks and rank not in ranks):
        expected = f"a numeric input of {ranks[0] if ranks else 'one or more'} dimensions"
        raise InvalidArgument(
            f"model '{config.name}': shape bucket fills in '{name}': expected {expected}, got {tensor.datatype} with "
            f"shape {list(tensor.shape)}"
        )
    return BuiltInput(name, DATATYPES[tensor.datatype].dtype, rank)
