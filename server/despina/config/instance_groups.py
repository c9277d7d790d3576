"""Instance groups: defaults, checks, and the instances they stand for (config §3.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from despina.config.names import ENSEMBLE, ONNXRUNTIME
from despina.config.proto import Message, ModelConfig, copy_of, model_config_pb2
from despina.errors import InvalidArgument, Unsupported
from despina.settings import MINIMUM_COMPUTE_CAPABILITY
from despina_backends.base import Device

_GROUP: Any = model_config_pb2.ModelInstanceGroup

CPU_COUNT = {ONNXRUNTIME: 2, "tensorflow": 2}
"""Instances of a CPU group that does not say how many, by backend; 1 for the others."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One instance to create: its name, where it runs, the index of its group, and whether it only stands by."""

    name: str
    device: Device
    group: int
    passive: bool = False


def asks_for_instances(config: ModelConfig) -> bool:
    """Whether the number of instances means something that was chosen: a count is configured or there are several
    groups, or it says how many sequences run at a time."""
    groups = config.instance_group
    return len(groups) > 1 or any(group.count > 0 for group in groups) or config.HasField("sequence_batching")


def complete_instance_groups(config: ModelConfig, gpus: Sequence[int]) -> ModelConfig:
    """A copy of `config` whose groups have a name, a kind other than AUTO, a count and, for KIND_GPU, their gpus.

    `gpus` are the ids of the GPUs that may be used. Ensembles stay as they are.
    """
    completed = copy_of(config)
    if config.platform == ENSEMBLE:
        return completed
    if not completed.instance_group:
        completed.instance_group.add(name=config.name)
    for index, group in enumerate(completed.instance_group):
        _complete_group(group, f"{config.name}_{index}", config.backend, gpus)
    return completed


def _complete_group(group: Message, name: str, backend: str, gpus: Sequence[int]) -> None:
    group.name = group.name or name
    if group.kind == _GROUP.KIND_AUTO:
        usable = bool(gpus) and set(group.gpus) <= set(gpus)
        group.kind = _GROUP.KIND_GPU if usable else _GROUP.KIND_CPU
    if group.count < 1:
        group.count = CPU_COUNT.get(backend, 1) if group.kind == _GROUP.KIND_CPU else 1
    if group.kind == _GROUP.KIND_GPU and not group.gpus:
        group.gpus.extend(gpus)


def validate_instance_groups(
    config: ModelConfig, gpus: Sequence[int], minimum_compute_capability: float = MINIMUM_COMPUTE_CAPABILITY
) -> None:
    """Check completed groups. Raises InvalidArgument."""
    if config.platform == ENSEMBLE:
        return
    for group in config.instance_group:
        _validate_group(group, config, gpus, minimum_compute_capability)


def _validate_group(group: Message, config: ModelConfig, gpus: Sequence[int], minimum: float) -> None:
    subject = f"instance group {group.name} of model {config.name}"
    if group.kind == _GROUP.KIND_GPU:
        _validate_gpus(group, subject, gpus, minimum)
    elif group.gpus:
        kind = _GROUP.Kind.Name(group.kind)
        raise InvalidArgument(f"{subject} has kind {kind} but specifies one or more GPUs")
    if group.profile:
        raise InvalidArgument(
            f"{subject} and platform {config.platform}specifies profile field which is only supported for "
            "TensorRT models"
        )


def _validate_gpus(group: Message, subject: str, gpus: Sequence[int], minimum: float) -> None:
    if not group.gpus:
        raise InvalidArgument(f"{subject} has kind KIND_GPU but no GPUs are available")
    for gpu in group.gpus:
        if gpu not in gpus:
            raise InvalidArgument(
                f"{subject} specifies invalid or unsupported gpu id {gpu}. GPUs with at least the minimum required "
                f"CUDA compute compatibility of {minimum:.6f} are: {', '.join(map(str, sorted(gpus)))}"
            )


def placements(config: ModelConfig) -> list[Placement]:
    """The instances that completed groups ask for: `count` per group on the CPU, `count` per gpu otherwise.

    Instances of one group on different GPUs share their names, as on tritonserver. KIND_MODEL leaves the choice to
    the model, which for ONNX Runtime is the CPU.
    """
    result = []
    for index, group in enumerate(config.instance_group):
        on_gpu = group.kind == _GROUP.KIND_GPU
        devices = [Device("GPU", gpu) for gpu in group.gpus] if on_gpu else [Device("CPU")]
        for device in devices:
            for number in range(group.count):
                result.append(Placement(f"{group.name}_{number}", device, index, group.passive))
    return result


def capability_of_instances(config: ModelConfig, capabilities: Mapping[int, str]) -> str | None:
    """Which of `cc_model_filenames` a version is loaded from: that for the compute capability of the GPUs it is placed
    on. None for the default file. Raises Unsupported when its instances would need different files."""
    wanted = {_capability(placed.device, config, capabilities) for placed in placements(config)}
    if len(wanted) > 1:
        raise Unsupported(
            f"model '{config.name}' asks for instances of different files by its cc_model_filenames, which this server "
            "does not support (place them on GPUs of one compute capability)"
        )
    return next(iter(wanted), None)


def _capability(device: Device, config: ModelConfig, capabilities: Mapping[int, str]) -> str | None:
    if device.kind == "GPU" and capabilities[device.id] in config.cc_model_filenames:
        return capabilities[device.id]
    return None
