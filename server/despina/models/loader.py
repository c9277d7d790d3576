"""Loading one version: from a candidate to sessions that are warm. Blocks; runs in a thread."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from despina.config.complete import default_max_batch_size, is_complete
from despina.config.datatypes import protocol_name
from despina.config.dims import model_dims
from despina.config.explain import explain, explain_created
from despina.config.instance_groups import Placement, asks_for_instances, capability_of_instances, placements
from despina.config.match import match_model
from despina.config.names import ENSEMBLE, ONNXRUNTIME
from despina.config.proto import Message, ModelConfig
from despina.config.stages import model_stage, placement_stage
from despina.config.unsupported import reject_unsupported
from despina.config.validate import validate_metric_tags
from despina.config.validate_io import validate_io
from despina.errors import BACKEND_ERRORS, InvalidArgument
from despina.models.batch_layout import BatchLayout, batch_layout
from despina.models.candidate import Candidate
from despina.models.listed_outputs import with_listed_outputs
from despina.models.own_outputs import with_own_outputs
from despina.models.sequence_plans import sequence_plan, with_sequence_inputs
from despina.models.warmup import WarmupExecution, read_samples, run_samples
from despina.models.warmup_sizes import run_sizes, size_samples, warmup_sizes
from despina.repository.files import model_file, version_files
from despina.repository.labels import read_labels
from despina.scheduling.instance_thread import InstanceThread, OnThread
from despina.scheduling.sequence_plan import SequencePlan
from despina.settings import Settings
from despina_backends.base import (
    Backend,
    BackendError,
    BackendFactory,
    Device,
    Instance,
    LoadOptions,
    TensorMetadata,
)
from despina_backends.registry import BACKENDS, resolve

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlacedInstance:
    """An execution context, where it runs, and the index of its instance group. A passive one gets no work. One on a
    GPU has a thread, for all its batches."""

    name: str
    device: Device
    group: int
    instance: Instance
    passive: bool = False
    thread: InstanceThread | None = None

    @property
    def cold(self) -> Instance:
        """The instance for the warm-up, which runs its batches where later ones will run."""
        return self.instance if self.thread is None else OnThread(self.instance, self.thread)


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that can execute. `config` is final, `directory` is the model's, `labels` are the class names by
    output, `warmup` is what was executed already, `sequences` how a sequence model is scheduled, `layout` how the
    instances take their batches. `load_options` and `files` say what was loaded (`repository.files.version_files`). An
    ensemble has no backend and no instances."""

    name: str
    version: int
    config: ModelConfig
    directory: Path
    backend: Backend | None
    instances: tuple[PlacedInstance, ...]
    labels: dict[str, list[str]]
    load_seconds: float
    warmup: tuple[WarmupExecution, ...] = ()
    sequences: SequencePlan | None = None
    layout: BatchLayout = field(default_factory=BatchLayout)
    load_options: LoadOptions | None = None
    files: frozenset[tuple[str, int, int, int]] = frozenset()

    def close(self) -> None:
        """Free everything. Blocks."""
        for placed in self.instances:
            if placed.thread is not None:
                placed.thread.close()
            placed.instance.close()
        if self.backend is not None:
            self.backend.close()


def load_version(
    candidate: Candidate, version: int, settings: Settings, gpus: Callable[[str], Mapping[int, str]] | None = None
) -> LoadedVersion:
    """Load `version` and warm it up. `gpus` tells the ids of the GPUs a backend may use, and their compute
    capabilities. Raises DespinaError; then nothing stays open."""
    start = time.monotonic()
    gpus = gpus or partial(usable_gpus, minimum=settings.min_supported_compute_capability)
    try:
        with ExitStack() as opened:
            loaded = _load(candidate, version, settings, gpus, opened)
            loaded = replace(loaded, load_seconds=time.monotonic() - start)
            created = explain_created(loaded.config, len(loaded.instances))
            decisions = [*explain(candidate.written, loaded.config), *created]
            _log.info("'%s' version %d: %s", loaded.name, version, " | ".join(decisions))
            opened.pop_all()
            return loaded
    except BackendError as error:
        raise BACKEND_ERRORS[error.code](error.message) from None


def _load(
    candidate: Candidate,
    version: int,
    settings: Settings,
    gpus: Callable[[str], Mapping[int, str]],
    opened: ExitStack,
) -> LoadedVersion:
    config, directory = candidate.config, candidate.directory
    reject_unsupported(config)
    validate_metric_tags(config)
    files = version_files(directory, version)
    if config.platform == ENSEMBLE:
        validate_io(config)
        labels = read_labels(directory, config)
        loaded = LoadedVersion(candidate.name, version, config, directory, None, (), labels, 0.0)
    else:
        loaded = _load_backend(candidate, version, settings, gpus(config.backend), opened)
    return replace(_warmed_up(loaded), files=files)


def _load_backend(
    candidate: Candidate, version: int, settings: Settings, gpus: Mapping[int, str], opened: ExitStack
) -> LoadedVersion:
    """The backend and its instances; `gpus` are those that it may use."""
    config, directory = candidate.config, candidate.directory
    factory = backend_factory(config.backend)
    asked = asks_for_instances(config)
    config = placement_stage(config, tuple(gpus), settings.min_supported_compute_capability)
    if settings.strict_model_config or is_complete(config):
        validate_io(config)
    path = model_file(directory, version, config, capability_of_instances(config, gpus))
    options = load_options(config, path, backend_settings(settings, config.backend), asked)
    backend = factory(options)
    opened.callback(backend.close)
    # Also inputs that the model has a value for: not every backend knows such a thing.
    inputs = {**backend.inputs, **getattr(backend, "initializers", {})}
    default = default_max_batch_size(settings.backend_config, config.backend)
    config = model_stage(config, inputs, backend.outputs, default, strict=settings.strict_model_config)
    labels = read_labels(directory, config)
    omissible = frozenset(name for name, tensor in backend.inputs.items() if tensor.optional)
    match_model(config, inputs, backend.outputs, omissible)
    layout = batch_layout(config, backend.inputs)
    instances = _place(config, backend, layout, opened)
    return LoadedVersion(
        candidate.name,
        version,
        config,
        directory,
        backend,
        instances,
        labels,
        0.0,
        layout=layout,
        load_options=options,
    )


def _warmed_up(loaded: LoadedVersion) -> LoadedVersion:
    config, directory = loaded.config, loaded.directory
    sequences = sequence_plan(config, directory)
    samples = with_sequence_inputs(read_samples(config, directory), sequences)
    working = [placed for placed in loaded.instances if not placed.passive]
    warmup = run_samples(config.name, samples, [(placed.name, placed.cold) for placed in working])
    if len(working) == 1:  # Instances that were spared count as if they had been warmed up.
        warmup *= 1 + len(placements(config)) - len(loaded.instances)
    for placed in working:
        sized = size_samples(config, warmup_sizes(config, placed.device), samples)
        run_sizes(config.name, with_sequence_inputs(sized, sequences), placed.cold)
    return replace(loaded, warmup=warmup, sequences=sequences)


def backend_factory(name: str) -> BackendFactory:
    """Raises InvalidArgument, in tritonserver's words, for a name that is none of ours; BackendError for one that is
    there but cannot be imported."""
    if name not in BACKENDS and ":" not in name:
        # No runtime helps here, and one such model among others keeps them all from being served.
        _log.warning(
            "backend '%s': only ONNX models are served, and Python named as 'package.module:attribute'; "
            "--exit-on-error=false leaves the others out",
            name,
        )
        raise InvalidArgument(
            f"unable to find backend library for backend '{name}', try specifying runtime on the model configuration."
        )
    return resolve(name)


def usable_gpus(backend: str, minimum: float) -> dict[int, str]:
    """Ids of the GPUs that instances of a backend may be placed on, and their compute capabilities: `minimum` or
    more."""
    if backend != ONNXRUNTIME:
        return {}
    from despina_backends.onnxruntime import compute_capabilities, why_no_gpu

    capabilities = compute_capabilities()
    if not capabilities and (reason := why_no_gpu()) is not None:
        # What comes of it is tritonserver's: the CPU for KIND_AUTO, and for KIND_GPU an error that knows no reason.
        _log.warning("no GPU is usable: %s", reason)
    usable: dict[int, str] = {}
    for gpu, capability in enumerate(capabilities):
        if float(capability) >= minimum:
            usable[gpu] = capability
        else:
            needs = f"--min-supported-compute-capability is {minimum}"
            _log.warning("GPU %d is not used: its compute capability is %s, %s", gpu, capability, needs)
    return usable


def backend_settings(settings: Settings, backend: str) -> dict[str, str]:
    """`--backend-config` for one backend: what is said for every backend, then its own."""
    return {**settings.backend_config.get("", {}), **settings.backend_config.get(backend, {})}


def load_options(
    config: ModelConfig, path: Path, backend_config: Mapping[str, str], instances_asked: bool = True
) -> LoadOptions:
    """What a backend gets to know of a configuration with completed instance groups. `instances_asked`: their number
    is no mere default."""
    optimization = config.optimization
    accelerators = optimization.execution_accelerators
    return LoadOptions(
        model_name=config.name,
        path=path,
        max_batch_size=config.max_batch_size,
        parameters={key: value.string_value for key, value in config.parameters.items()},
        backend_config=backend_config,
        accelerators={
            "CPU": _accelerators(accelerators.cpu_execution_accelerator),
            "GPU": _accelerators(accelerators.gpu_execution_accelerator),
        },
        graph_optimization_level=optimization.graph.level,
        op_library_paths=tuple(config.model_operations.op_library_filename),
        pinned_input=optimization.input_pinned_memory.enable,
        pinned_output=optimization.output_pinned_memory.enable,
        cpu_instance_count=sum(placed.device.kind == "CPU" for placed in placements(config)),
        first_gpu=next((placed.device.id for placed in placements(config) if placed.device.kind == "GPU"), 0),
        cpu_instances_asked=instances_asked,
        inputs=tuple(declared(config, tensor, tensor.optional) for tensor in config.input),
        outputs=tuple(declared(config, tensor) for tensor in config.output),
    )


def declared(config: ModelConfig, tensor: Message, optional: bool = False) -> TensorMetadata:
    """A tensor of the configuration as a model would declare it."""
    batch = (-1,) if config.max_batch_size > 0 else ()
    return TensorMetadata(tensor.name, protocol_name(tensor.data_type), (*batch, *model_dims(tensor)), optional)


def _accelerators(listed: Sequence[Message]) -> tuple[tuple[str, dict[str, str]], ...]:
    return tuple((accelerator.name, dict(accelerator.parameters)) for accelerator in listed)


def _place(config: ModelConfig, backend: Backend, layout: BatchLayout, opened: ExitStack) -> tuple[PlacedInstance, ...]:
    placed: list[PlacedInstance] = []
    for wanted in _wanted(config, backend):
        instance = backend.instance(wanted.device)
        opened.callback(instance.close)
        listed = with_listed_outputs(instance, config, backend)
        laid_out = layout.around(with_own_outputs(listed, config.backend))
        thread = InstanceThread(f"despina-{wanted.name}") if wanted.device.kind == "GPU" else None
        if thread is not None:
            opened.callback(thread.close)
        placed.append(PlacedInstance(wanted.name, wanted.device, wanted.group, laid_out, wanted.passive, thread))
    return tuple(placed)


def _wanted(config: ModelConfig, backend: Backend) -> list[Placement]:
    """The instances to create: on the CPU no more than the backend has a use for."""
    wanted = placements(config)
    on_cpu = [placement for placement in wanted if placement.device.kind == "CPU"]
    too_many = on_cpu[getattr(backend, "cpu_instances", len(on_cpu)) :]
    return [placement for placement in wanted if placement not in too_many]
