"""Whether the tensors of an ensemble fit the models of its steps (config §6.2).

An ensemble tensor is whatever its producer says it is; everybody else who names it has to agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from despina.config.datatypes import config_name
from despina.config.dims import model_dims, shape_text
from despina.config.proto import Message, ModelConfig
from despina.errors import InvalidArgument, NotFound, Unavailable
from despina.models.ensembles import ConfigOf

LATEST = -1


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one model says of a tensor; `shape` with the batch dimension, where there is one, `dims` without."""

    model: str
    data_type: str
    shape: tuple[int, ...]
    dims: tuple[int, ...]


def check_fit(config: ModelConfig, config_of: ConfigOf) -> None:
    """Every step's model takes what it is given. Raises InvalidArgument; NotFound or Unavailable for a step of which no
    version is ready."""
    claims = {tensor.name: _claim(config, tensor, model_dims(tensor)) for tensor in (*config.input, *config.output)}
    for step in config.ensemble_scheduling.step:
        model = _config_of(config, step, config_of)
        _check_batch_size(config, model)
        _check_cache(config, model)
        _check_inputs(config.name, model, step.input_map, claims)
        _check_outputs(config.name, model, step.output_map, claims)


def _config_of(ensemble: ModelConfig, step: Message, config_of: ConfigOf) -> ModelConfig:
    if step.model_version == LATEST:
        return config_of(step.model_name, None)
    try:
        return config_of(step.model_name, step.model_version)
    except (NotFound, Unavailable):
        raise InvalidArgument(
            f"ensemble '{ensemble.name}' depends on '{step.model_name}' whose required version {step.model_version} is "
            "not loaded."
        ) from None


def _claim(config: ModelConfig, tensor: Message, dims: Sequence[int]) -> _Claim:
    batch = (-1,) if config.max_batch_size > 0 else ()
    return _Claim(config.name, config_name(tensor.data_type), (*batch, *dims), tuple(dims))


def _check_batch_size(ensemble: ModelConfig, model: ModelConfig) -> None:
    if 0 < model.max_batch_size < ensemble.max_batch_size:
        raise InvalidArgument(
            f"ensemble {ensemble.name} allows maximum batch size {ensemble.max_batch_size}, but it contains model "
            f"{model.name} which only allows maximum batch size to be {model.max_batch_size}"
        )


def _check_cache(ensemble: ModelConfig, model: ModelConfig) -> None:
    """An answer that depends on a sequence must not be remembered."""
    if ensemble.response_cache.enable and model.HasField("sequence_batching"):
        raise InvalidArgument(
            f"Response Cache does not currently support model {ensemble.name} with step {model.name}, which has a "
            "sequence batching scheduler. Please disable the response cache."
        )


def _check_inputs(ensemble: str, model: ModelConfig, mapping: Mapping[str, str], claims: dict[str, _Claim]) -> None:
    known = {tensor.name for tensor in model.input}
    for name, ensemble_tensor in sorted(mapping.items()):
        if name not in known:
            raise InvalidArgument(
                f"in ensemble {ensemble}, ensemble tensor {ensemble_tensor} is mapping to non-existing input {name} in "
                f"model {model.name}"
            )
    for tensor in model.input:
        if tensor.name in mapping:
            _check_tensor(ensemble, mapping[tensor.name], _claim(model, tensor, tensor.dims), claims)
        elif not tensor.optional:
            raise InvalidArgument(
                f"in ensemble {ensemble}, input {tensor.name} in model {model.name} is not mapped to any ensemble "
                "tensors"
            )


def _check_outputs(ensemble: str, model: ModelConfig, mapping: Mapping[str, str], claims: dict[str, _Claim]) -> None:
    known = {tensor.name: tensor for tensor in model.output}
    for name, ensemble_tensor in sorted(mapping.items()):
        if name not in known:
            raise InvalidArgument(
                f"in ensemble {ensemble}, ensemble tensor {ensemble_tensor} is mapped from non-existing output {name} "
                f"in model {model.name}"
            )
    for name, ensemble_tensor in sorted(mapping.items()):
        _check_tensor(ensemble, ensemble_tensor, _claim(model, known[name], known[name].dims), claims)


def _check_tensor(ensemble: str, tensor: str, claim: _Claim, claims: dict[str, _Claim]) -> None:
    _check_agreement(ensemble, tensor, claims.setdefault(tensor, claim), claim)


def _check_agreement(ensemble: str, tensor: str, first: _Claim, second: _Claim) -> None:
    subject = f"in ensemble {ensemble}, ensemble tensor {tensor}: "
    if first.data_type != second.data_type:
        raise InvalidArgument(
            f"{subject}inconsistent data type: {first.data_type} is inferred from model {first.model} while "
            f"{second.data_type} is inferred from model {second.model}"
        )
    # Alike but for the batch dimension will do: requests of one row fit then.
    if not _compatible(first.dims, second.dims) and not _compatible(first.shape, second.shape):
        raise InvalidArgument(
            f"{subject}inconsistent shape: {shape_text(first.shape)} is inferred from model {first.model} while "
            f"{shape_text(second.shape)} is inferred from model {second.model}"
        )


def _compatible(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return len(first) == len(second) and all(a == b or -1 in (a, b) for a, b in zip(first, second, strict=True))
