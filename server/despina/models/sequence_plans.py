"""From `sequence_batching` of a configuration to the plan that sequences are scheduled by (config §2.3, §6.1)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from despina.config.datatypes import unprefixed
from despina.config.match_sequences import control_type
from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.models.initial_states import initial_state
from despina.models.warmup import Sample
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
    states in `directory`, which is the model's. Raises InvalidArgument, Internal."""
    if not config.HasField("sequence_batching"):
        return None
    batching = config.sequence_batching
    return SequencePlan(
        config.name,
        max(0, config.max_batch_size),
        batching.max_sequence_idle_microseconds * 1000,
        _strategy(config),
        tuple(_flags(config)),
        _correlation(batching),
        tuple(_states(config, directory)),
    )


def _strategy(config: ModelConfig) -> DirectStrategy | OldestStrategy:
    batching = config.sequence_batching
    rows = max(1, config.max_batch_size)
    if batching.HasField("oldest"):
        oldest = batching.oldest
        preferred = tuple(sorted(set(oldest.preferred_batch_size)))
        policy = BatchPolicy(rows, preferred, oldest.max_queue_delay_microseconds * 1000)
        return OldestStrategy(oldest.max_candidate_sequences or rows, policy)
    direct = batching.direct
    return DirectStrategy(direct.max_queue_delay_microseconds * 1000, direct.minimum_slot_utilization)


def _controls(batching: Message) -> Iterator[tuple[str, str, Message]]:
    """Kind (START, END, READY, CORRID), tensor name and description of every control."""
    for tensor in batching.control_input:
        for control in tensor.control:
            yield _CONTROL.Kind.Name(control.kind).removeprefix("CONTROL_SEQUENCE_"), tensor.name, control


def _flags(config: ModelConfig) -> Iterator[FlagControl]:
    shape = (1, 1) if config.max_batch_size > 0 else (1,)
    for kind, name, control in _controls(config.sequence_batching):
        for pair, dtype in _DTYPES.items():
            if values := getattr(control, pair):
                when_false, when_true = (np.full(shape, value, dtype) for value in values)
                yield FlagControl(kind, name, when_false, when_true)


def _correlation(batching: Message) -> CorrelationControl | None:
    for kind, name, control in _controls(batching):
        if kind == "CORRID":
            return CorrelationControl(name, unprefixed(control_type(control)))
    return None


def _states(config: ModelConfig, directory: Path) -> Iterator[StateTensor]:
    visible = {output.name for output in config.output}
    for state in config.sequence_batching.state:
        yield StateTensor(
            state.input_name,
            state.output_name,
            initial_state(config, state, directory),
            state.output_name in visible,
            -1 in state.dims,
        )


def with_sequence_inputs(samples: Iterable[Sample], plan: SequencePlan | None) -> list[Sample]:
    """Warm-up samples with the controls and states that they leave out: those of a row without a request, and initial
    ones."""
    if plan is None:
        return list(samples)
    rest: Mapping[str, Array] = {
        **Controls(plan).absent,
        **{state.input_name: state.initial for state in plan.states},
    }
    return [replace(sample, inputs={**rest, **sample.inputs}) for sample in samples]
