"""Defaults that do not depend on the model file (config §3.3)."""

from despina.config.names import ENSEMBLE
from despina.config.proto import Message, ModelConfig, copy_of

SEQUENCE_IDLE_MICROSECONDS = 1_000_000


def normalize(config: ModelConfig) -> ModelConfig:
    """A copy of `config` with its defaults written out. Applying it twice changes nothing more."""
    normal = copy_of(config)
    if not normal.HasField("version_policy"):
        normal.version_policy.latest.num_versions = 1
    if normal.HasField("dynamic_batching"):
        _prefer_max_batch_size(normal.dynamic_batching, normal.max_batch_size)
    if normal.HasField("sequence_batching"):
        _normalize_sequences(normal)
    if normal.platform == ENSEMBLE:
        # Its steps say whether it is decoupled, and none of them can be.
        normal.model_transaction_policy.SetInParent()
    else:
        _pin_memory(normal)
    return normal


def _prefer_max_batch_size(batching: Message, max_batch_size: int) -> None:
    if max_batch_size > 0 and not batching.preferred_batch_size:
        batching.preferred_batch_size.append(max_batch_size)


def _normalize_sequences(config: ModelConfig) -> None:
    sequences = config.sequence_batching
    if sequences.max_sequence_idle_microseconds == 0:
        sequences.max_sequence_idle_microseconds = SEQUENCE_IDLE_MICROSECONDS
    if sequences.HasField("oldest"):
        _prefer_max_batch_size(sequences.oldest, config.max_batch_size)


def _pin_memory(config: ModelConfig) -> None:
    for name in ("input_pinned_memory", "output_pinned_memory"):
        if not config.optimization.HasField(name):
            getattr(config.optimization, name).enable = True
