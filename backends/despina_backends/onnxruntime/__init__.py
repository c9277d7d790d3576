"""Backend `onnxruntime`: ONNX models on CPU, CUDA and TensorRT. ONNX Runtime itself is imported by the first load."""

from typing import TYPE_CHECKING

from despina_backends.base import LoadOptions

if TYPE_CHECKING:
    from despina_backends.onnxruntime.backend import OnnxRuntimeBackend


def load(options: LoadOptions) -> "OnnxRuntimeBackend":
    """A `BackendFactory`: load one model version. Raises BackendError."""
    from despina_backends.onnxruntime.backend import OnnxRuntimeBackend
    from despina_backends.onnxruntime.runtime import load_runtime

    return OnnxRuntimeBackend(options, load_runtime())


def compute_capabilities() -> tuple[str, ...]:
    """Those of the GPUs that sessions can run on, by id: none without a GPU package, a driver, or the CUDA
    libraries."""
    from despina_backends.onnxruntime.cuda import compute_capability, device_count, open_cudart
    from despina_backends.onnxruntime.runtime import load_runtime

    runtime = load_runtime()
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        return ()
    cudart = open_cudart(runtime.cuda_version)
    if cudart is None:
        return ()
    return tuple(compute_capability(cudart, device) for device in range(device_count(cudart)))


def why_no_gpu() -> str | None:
    """What keeps a GPU package from finding a GPU: a missing library, a driver. None for the CPU package, which looks
    for none."""
    from despina_backends.onnxruntime.backend import diagnosis
    from despina_backends.onnxruntime.runtime import load_runtime

    runtime = load_runtime()
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        return None
    return diagnosis(runtime.cuda_version, 0)
