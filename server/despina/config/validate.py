"""Whether a normalised configuration makes sense in itself (config §3.6), in the order tritonserver checks."""

import re

from despina.config.names import ENSEMBLE, FORMATS
from despina.config.proto import ModelConfig
from despina.config.validate_ensemble import validate_ensemble
from despina.config.validate_schedulers import validate_dynamic_batching, validate_sequence_batching
from despina.errors import InvalidArgument

_PLATFORMS = {
    backend: {known.platform for known in FORMATS if known.backend == backend} | {""}
    for backend in {known.backend for known in FORMATS if known.platform}
}
"""Of the backends that belong to some; others may have any."""
_PLATFORMS["pytorch"].add("libtorch")
_TAG = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_]*", re.ASCII)


def validate(config: ModelConfig) -> None:
    """Check everything but the tensors. Raises InvalidArgument."""
    _validate_identity(config)
    _validate_max_batch_size(config)
    validate_dynamic_batching(config)
    validate_sequence_batching(config)
    validate_ensemble(config)
    _validate_cache(config)
    _validate_metrics(config)


def validate_metric_tags(config: ModelConfig) -> None:
    """Whether every metric tag makes a label. One that does not would make the metrics of all models unreadable. Raises
    InvalidArgument."""
    for tag in config.metric_tags:
        if not _TAG.fullmatch(tag):
            raise InvalidArgument(
                f"metric_tags of model '{config.name}': '{tag}' cannot be part of a label's name: expected letters, "
                "digits and underscores, the first no underscore"
            )


def _validate_identity(config: ModelConfig) -> None:
    if not config.name:
        raise InvalidArgument("model configuration must specify 'name'")
    if config.platform == ENSEMBLE:
        if config.backend:
            raise InvalidArgument(
                f"Ensemble model '{config.name}' must have platform type 'ensemble' and empty backend type"
            )
    elif not config.backend:
        raise InvalidArgument(f"unexpected platform type '{config.platform}' for {config.name}")
    elif config.platform not in _PLATFORMS.get(config.backend, {config.platform}):
        raise InvalidArgument(f"unexpected 'platform' and 'backend' pair, got:{config.platform}, {config.backend}")


def _validate_max_batch_size(config: ModelConfig) -> None:
    if config.max_batch_size < 0:
        raise InvalidArgument(f"'max_batch_size' must be non-negative value for {config.name}")


def _validate_cache(config: ModelConfig) -> None:
    if not config.response_cache.enable:
        return
    reason = None
    if config.HasField("sequence_batching"):
        reason = "sequence batching scheduler"
    elif config.model_transaction_policy.decoupled:
        reason = "'decoupled' transaction policy"
    if reason is not None:
        raise InvalidArgument(
            f"Response Cache does not currently support model {config.name} with {reason}. "
            "Please disable the response cache."
        )


def _validate_metrics(config: ModelConfig) -> None:
    for control in config.model_metrics.metric_control:
        if not control.HasField("metric_identifier"):
            raise InvalidArgument("metric control must specify 'metric_identifier'")
        if not control.metric_identifier.family:
            raise InvalidArgument("metric identifier must specify non-empty 'family'")
        if not control.HasField("histogram_options"):
            raise InvalidArgument("metric control must specify 'histogram_options'")
        if not control.histogram_options.buckets:
            raise InvalidArgument("histogram options must specify non-empty 'buckets'")
