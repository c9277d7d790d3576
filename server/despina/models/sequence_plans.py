"""From `sequence_batching` of a configuration to the plan that sequences are scheduled by (config §2.3, §6.1)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from despina.config.match_sequences import control_type
from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.config.validate_states import validate_states
from despina.errors import Unsupported
from despina.models.initial_states import initial_state
from despina.models.warmup import Sample
from despina.protocol.datatypes import config_datatype
from despina.protocol.messages import Array
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.sequence_controls import Controls
from despina.scheduling.sequence_plan import (
    CorrelationControl,
    DirectStrategy,
    FlagControl,
    OldestStrategy,
    SequencePlan,
    StateTensor,
)

_CONTROL: Any = model_config_pb2.ModelSequenceBatching.Control
_DTYPES = {"int32_false_true": "<i4", "fp32_false_true": "<f4", "bool_false_true": "?"}


def sequence_plan(config: ModelConfig, directory: Path) -> SequencePlan | None:
    """The plan of a complete, validated configuration; None for a model without sequences. Reads the files of initial
    states in `directory`, which is the model's. Raises InvalidArgument, Internal, Unsupported."""
    if not config.HasField("sequence_batching"):
        return None
    batching = config.sequence_batching
    if batching.HasField("iterative_sequence") if _has_presence(batching) else batching.iterative_sequence:
        raise Unsupported(
            f"model '{config.name}' asks for iterative_sequence (remove it), which this server does not support"
        )
    validate_states(config)
    return SequencePlan(
        config.name,
        max(0, config.max_batch_size),
        batching.max_sequence_idle_microseconds * 1000,
        _strategy(config),
        tuple(_flags(config)),
        _correlation(batching),
        tuple(_states(config, directory)),
    )
