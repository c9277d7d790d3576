"""The stages of a configuration, in tritonserver's order, so that each error appears where its clients expect it.

Polling: read, names, defaults, checks; what fails here is only logged, and a load request is answered with a generic
text. Loading: instance groups, completion from the model, checks again; what fails here is the version's reason.
"""

from collections.abc import Sequence
from pathlib import Path

from despina.config.complete import Tensors, complete_from_model
from despina.config.instance_groups import complete_instance_groups, validate_instance_groups
from despina.config.names import ENSEMBLE, complete_names
from despina.config.normalize import normalize
from despina.config.proto import ModelConfig
from despina.config.validate import validate
from despina.config.validate_io import validate_io
from despina.config.validate_states import validate_states
from despina.settings import MINIMUM_COMPUTE_CAPABILITY


def poll_stage(written: ModelConfig, name: str, directory: Path, *, strict: bool) -> ModelConfig:
    """Names, defaults and checks that need no model. `strict` (auto-complete off) wants complete tensors already.

    Raises InvalidArgument.
    """
    config = normalize(complete_names(written, name, directory))
    validate(config)
    if strict:
        validate_io(config)
    return config


def placement_stage(
    polled: ModelConfig, gpus: Sequence[int], minimum_compute_capability: float = MINIMUM_COMPUTE_CAPABILITY
) -> ModelConfig:
    """Complete and check the instance groups; `gpus` are the ids of the usable GPUs. Raises InvalidArgument."""
    config = complete_instance_groups(polled, gpus)
    validate_instance_groups(config, gpus, minimum_compute_capability)
    return config


def model_stage(
    placed: ModelConfig, inputs: Tensors, outputs: Tensors, default_max_batch_size: int, *, strict: bool
) -> ModelConfig:
    """Complete from the model's own tensors unless `strict`, and check. Ensembles have no tensors to complete from.

    Raises InvalidArgument.
    """
    config = placed
    if not strict and placed.platform != ENSEMBLE:
        config = normalize(complete_from_model(placed, inputs, outputs, default_max_batch_size))
    validate(config)
    validate_io(config)
    validate_states(config)
    return config
