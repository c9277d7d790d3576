"""A loaded model version: its metadata, and a session per instance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import cast

from despina_backends.base import BackendError, Device, Instance, LoadOptions, TensorMetadata
from despina_backends.onnxruntime import tensorrt
from despina_backends.onnxruntime.bound import BoundInstance
from despina_backends.onnxruntime.cuda import PinnedMemory, device_count, missing_libraries, open_cudart
from despina_backends.onnxruntime.cuda_graph import GraphInstance, bucket_sizes, check_graphable, wants_graphs
from despina_backends.onnxruntime.errors import advise, runtime_error
from despina_backends.onnxruntime.instance import RunInstance
from despina_backends.onnxruntime.memory import Allocator, PageableMemory
from despina_backends.onnxruntime.metadata import tensors
from despina_backends.onnxruntime.options import enough_cpu_instances, run_options, session_options
from despina_backends.onnxruntime.parameters import own_boolean
from despina_backends.onnxruntime.providers import CUDA, TENSORRT, Provider, execution_providers
from despina_backends.onnxruntime.recording import GATE, GatedInstance
from despina_backends.onnxruntime.session import CREATION, Session
from despina_backends.onnxruntime.steady import is_steady

SHARE_SESSION = "share_session"
"""Parameter of the configuration: instances on one device share a session. A session may run on several threads, each
run on a stream of its own, so on a GPU the second instance copies its batch in while the first computes, and there is
one copy of the weights. Kernels with a state per node (convolutions) take turns."""


class OnnxRuntimeBackend:
    """One model file.

    The model is loaded at once, for the CPU, or the first GPU that is planned if the CPU is not, and the first
    instance there takes over the session. `inputs` are the tensors every execution needs;
    `initializers` are those with a default in the model, which an execution may override. `cpu_instances` is how many
    instances share the cores; a model with loops may be unable to use more than one, and gets as many as are offered.
    """

    takes_text = True

    def __init__(self, options: LoadOptions, runtime: ModuleType) -> None:
        self._path = model_file(options)
        self.steady = not options.op_library_paths and is_steady(self._path)
        self.cpu_instances = enough_cpu_instances(options) if self.steady else options.cpu_instance_count
        self._options = options = replace(options, cpu_instance_count=self.cpu_instances)
        self._runtime = runtime
        self._spare_device = Device("CPU") if options.cpu_instance_count else Device("GPU", options.first_gpu)
        session = self._create(self._spare_device)
        self.inputs: Mapping[str, TensorMetadata] = tensors(session.get_inputs())
        self.outputs: Mapping[str, TensorMetadata] = tensors(session.get_outputs())
        self.initializers: Mapping[str, TensorMetadata] = tensors(session.get_overridable_initializers(), optional=True)
        self._spare: Session | None = session
        self._shares = own_boolean(options.parameters, SHARE_SESSION)
        self._shared: dict[Device, Session] = {}

    def instance(self, device: Device) -> Instance:
        """A session on `device`. Raises BackendError when it would have to run elsewhere."""
        if device.kind != "GPU":
            return self._plain_instance(device)
        if wants_graphs(self._options):
            return self._graph_instance(device)
        return GatedInstance(self._plain_instance(device), partial(self._choose, device))

    def close(self) -> None:
        """Let go of sessions that no instance has, and of shared ones."""
        with GATE.run():
            self._choose(self._spare_device)
            self._spare = None
            for device in tuple(self._shared):
                self._choose(device)
                del self._shared[device]

    def _choose(self, device: Device) -> None:
        """Make a GPU the one of this thread. A thread that never chose works by way of GPU 0, also where it frees what
        is on another: that takes memory there, and fails where none is left."""
        cudart = open_cudart(self._runtime.cuda_version) if device.kind == "GPU" else None
        if cudart is not None:
            cudart.cudaSetDevice(device.id)

    def _plain_instance(self, device: Device) -> RunInstance | BoundInstance:
        session = self._session(device)
        inputs, outputs = {**self.inputs, **self.initializers}, self.outputs
        options = run_options(self._runtime, self._options)
        datatypes = {tensor.datatype for tensor in (*inputs.values(), *outputs.values())}
        if "BYTES" in datatypes or (device.kind == "CPU" and "BF16" not in datatypes):
            if "BF16" in datatypes:
                message = f"model '{self._options.model_name}': BYTES and BF16 tensors in one model are not supported"
                raise BackendError(message, "UNSUPPORTED")
            return RunInstance(session, inputs, outputs, options)
        return BoundInstance(session, inputs, outputs, self._staging_memory(device), options)

    def _graph_instance(self, device: Device) -> GraphInstance:
        check_graphable(self._options, [*self.inputs.values(), *self.outputs.values()])
        if self._shares:
            reason = f"{SHARE_SESSION} and CUDA graphs exclude each other: a graph belongs to one instance"
            raise BackendError(f"model '{self._options.model_name}': {reason}", "INVALID_ARG")
        sizes = bucket_sizes(self._options.max_batch_size)
        session = self._session(device)
        # The first copies of the thread happen before its first run, which is where ONNX Runtime chooses the GPU.
        enter = partial(self._choose, device)
        return GraphInstance(session, self.inputs, self.outputs, sizes, self._runtime, device, enter=enter)

    def _session(self, device: Device) -> Session:
        if device in self._shared:
            return self._shared[device]
        if self._spare is not None and device == self._spare_device:
            session, self._spare = self._spare, None
        else:
            session = self._create(device)
        if self._shares:
            self._shared[device] = session
        return session

    def _create(self, device: Device) -> Session:
        providers = execution_providers(self._options, device)
        self._check_available(providers, device)
        wants_tensorrt = any(name == TENSORRT for name, _ in providers)
        if wants_tensorrt:
            tensorrt.preload(tensorrt.package_folder())
        with CREATION:
            try:
                options = session_options(self._runtime, self._options, device)
                if is_ort_format(self._path):
                    options.add_session_config_entry("session.load_model_format", "ORT")
                created = self._runtime.InferenceSession(
                    str(self._path),
                    options,
                    providers=providers,
                    enable_fallback=0,
                )
            except BackendError:
                raise
            except Exception as error:
                advise(str(error))
                if wants_tensorrt and tensorrt.missing():
                    raise self._did_not_start(TENSORRT, device) from error
                raise runtime_error(error) from error
        session = cast(Session, created)
        self._check_providers(session.get_providers(), providers, device)
        return session

    def _check_available(self, providers: Sequence[Provider], device: Device) -> None:
        available = self._runtime.get_available_providers()
        for name, _ in providers:
            if name not in available:
                reason = "install despina[gpu] in place of despina[cpu]" if name == CUDA else "this build lacks it"
                raise self._unavailable(device, f"the installed ONNX Runtime has no {name}: {reason}")

    def _check_providers(self, got: Sequence[str], wanted: Sequence[Provider], device: Device) -> None:
        """ONNX Runtime drops a provider it cannot start and runs on the next one without a word: on the CPU also what
        TensorRT leaves to a CUDA that is not there."""
        lost = [name for name, _ in wanted if name not in got]
        if lost:
            raise self._did_not_start(lost[0], device, f", ONNX Runtime would use {', '.join(got)}")

    def _did_not_start(self, provider: str, device: Device, instead: str = "") -> BackendError:
        cuda_version = self._runtime.cuda_version
        absent = tensorrt.missing() if provider == TENSORRT else ()
        why = tensorrt.advice(absent, cuda_version) if absent else diagnosis(cuda_version, device.id)
        return self._unavailable(device, f"{provider} did not start{instead}: {why}")

    def _unavailable(self, device: Device, reason: str) -> BackendError:
        where = f"KIND_{device.kind} {device.id}" if device.kind == "GPU" else "KIND_CPU"
        return BackendError(f"unable to load model '{self._options.model_name}' on {where}: {reason}", "UNAVAILABLE")

    def _staging_memory(self, device: Device) -> tuple[Allocator, Allocator]:
        cudart = open_cudart(self._runtime.cuda_version) if device.kind == "GPU" else None
        if cudart is None:
            return PageableMemory(), PageableMemory()
        pinned = (self._options.pinned_input, self._options.pinned_output)
        into, out = (PinnedMemory(cudart, device.id) if wanted else PageableMemory() for wanted in pinned)
        return into, out


def diagnosis(cuda_version: str, gpu: int) -> str:
    """What may keep the GPU `gpu` from being used by a build for `cuda_version`."""
    if missing := missing_libraries(cuda_version):
        hint = "despina[gpu] installs all but libcuda.so.1, which is the driver's"
        return f"missing for CUDA {cuda_version}: {', '.join(missing)}; {hint}"
    cudart = open_cudart(cuda_version)
    count = 0 if cudart is None else device_count(cudart)
    if gpu >= count:
        return f"{count} GPUs are visible to a CUDA {cuda_version} runtime; check the driver and CUDA_VISIBLE_DEVICES"
    return "its libraries are there; check the driver's version and the options of the accelerators"


def model_file(options: LoadOptions) -> Path:
    """The ONNX file of the version: `path`, or `path/model.onnx` if that is a directory. Raises BackendError."""
    path = options.path / "model.onnx" if options.path.is_dir() else options.path
    if not path.is_file():
        message = f"unable to find '{options.path}' for model instance '{options.model_name}'"
        raise BackendError(message, "UNAVAILABLE")
    return path


def is_ort_format(path: Path) -> bool:
    """Whether the file is in ONNX Runtime's own format. By itself that looks only at the ending `.ort`, and in a
    repository the file is `model.onnx`."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == b"ORTM"
    except OSError:  # The runtime says why.
        return False
