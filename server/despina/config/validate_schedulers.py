"""Checks of dynamic_batching and sequence_batching (config §3.6)."""

from typing import Any

from despina.config.match_sequences import PAIR_TYPES, controls
from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.errors import InvalidArgument

_CONTROL: Any = model_config_pb2.ModelSequenceBatching.Control
_DELAY = model_config_pb2.ModelQueuePolicy.DELAY

CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
_ONE_PAIR = "either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'"


def validate_dynamic_batching(config: ModelConfig) -> None:
    """Raises InvalidArgument."""
    if not config.HasField("dynamic_batching"):
        return
    batching = config.dynamic_batching
    _validate_preferred(batching, "dynamic batching preferred size", config)
    if batching.priority_levels:
        _validate_priorities(batching, config.name)
    if batching.preserve_ordering:
        _validate_ordering(batching, config.name)


def _validate_preferred(strategy: Message, subject: str, config: ModelConfig) -> None:
    for size in strategy.preferred_batch_size:
        if size <= 0:
            raise InvalidArgument(f"{subject} must be positive for {config.name}")
        if size > config.max_batch_size:
            raise InvalidArgument(f"{subject} must be <= max batch size for {config.name}")


def _validate_priorities(batching: Message, model: str) -> None:
    levels = batching.priority_levels
    if not 1 <= batching.default_priority_level <= levels:
        raise InvalidArgument(f"default priority level must be in range [1, {levels}] for {model}")
    if not all(1 <= level <= levels for level in batching.priority_queue_policy):
        raise InvalidArgument(f"priority queue policy must have priority level in range [1, {levels}] for {model}")


def _validate_ordering(batching: Message, model: str) -> None:
    if batching.priority_levels > 1:
        raise InvalidArgument(f"Only one priority level is allowed when 'preserve_ordering' is true for {model}")
    for policy in (batching.default_queue_policy, *batching.priority_queue_policy.values()):
        if policy.timeout_action == _DELAY and policy.default_timeout_microseconds:
            raise InvalidArgument(
                f"Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for {model}"
            )


def validate_sequence_batching(config: ModelConfig) -> None:
    """Raises InvalidArgument."""
    if not config.HasField("sequence_batching"):
        return
    sequences = config.sequence_batching
    _validate_controls(config)
    if sequences.HasField("oldest"):
        _validate_preferred(sequences.oldest, "sequence batching preferred batch size", config)
    if sequences.HasField("direct") and not 0.0 <= sequences.direct.minimum_slot_utilization <= 1.0:
        # 0 is what an absent field reads as.
        raise InvalidArgument(
            f"sequence batching minimum slot utilization must be in range (0.0, 1.0] for {config.name}"
        )


def _validate_controls(config: ModelConfig) -> None:
    model = config.name
    tensors: set[str] = set()
    for tensor in config.sequence_batching.control_input:
        if not tensor.name:
            raise InvalidArgument(f"sequence batching control tensor must have a name for {model}")
        if tensor.name in tensors:
            raise InvalidArgument(
                f"sequence batching control tensor '{tensor.name}' is specified for multiple control kinds for {model}"
            )
        tensors.add(tensor.name)
    kinds: set[int] = set()
    for _, control in controls(config):
        kind = _CONTROL.Kind.Name(control.kind)
        if control.kind in kinds:
            raise InvalidArgument(f"sequence batching specifies multiple {kind} tensors for {model}")
        kinds.add(control.kind)
        _validate_control(control, kind, model)


def _validate_control(control: Message, kind: str, model: str) -> None:
    given = [name for name in PAIR_TYPES if getattr(control, name)]
    if control.kind == _CONTROL.CONTROL_SEQUENCE_CORRID:
        _validate_correlation(control, given, kind, model)
        return
    if not given:
        raise InvalidArgument(f"sequence batching must specify {_ONE_PAIR} for {kind} for {model}")
    if len(given) > 1:
        raise InvalidArgument(f"sequence batching specifies more than one from {_ONE_PAIR} for {kind} for {model}")
    if len(getattr(control, given[0])) != 2:
        raise InvalidArgument(
            f"sequence batching control '{given[0]}' must have exactly 2 entries for {kind} for {model}"
        )


def _validate_correlation(control: Message, given: list[str], kind: str, model: str) -> None:
    if given:
        raise InvalidArgument(f"sequence batching must not specify {_ONE_PAIR} for {kind} for {model}")
    if model_config_pb2.DataType.Name(control.data_type) not in CORRELATION_TYPES:
        allowed = f"{', '.join(CORRELATION_TYPES[:-1])} and {CORRELATION_TYPES[-1]}"
        raise InvalidArgument(f"unexpected data type for control {kind} for {model}. Allowed data types are {allowed}")
