"""Execution providers and their options: where a session of an instance may run, best first."""

from collections.abc import Mapping, Sequence

from despina_backends.base import BackendError, Device, LoadOptions
from despina_backends.onnxruntime.parameters import boolean, integer

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

TENSORRT_GRAPHS = "trt_cuda_graph_enable"

Provider = tuple[str, dict[str, str]]

_PRECISIONS = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "BF16": {"trt_bf16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}
_TENSORRT_RENAMED = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_TENSORRT_PASSED = frozenset(
    {
        "trt_max_partition_iterations",
        "trt_min_subgraph_size",
        "trt_dla_enable",
        "trt_dla_core",
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
        "trt_engine_cache_prefix",
        "trt_dump_subgraphs",
        "trt_force_sequential_engine_build",
        "trt_context_memory_sharing_enable",
        "trt_layer_norm_fp32_fallback",
        "trt_timing_cache_enable",
        "trt_timing_cache_path",
        "trt_force_timing_cache",
        "trt_detailed_build_log",
        "trt_build_heuristics_enable",
        "trt_sparsity_enable",
        "trt_builder_optimization_level",
        "trt_auxiliary_streams",
        "trt_tactic_sources",
        "trt_extra_plugin_lib_paths",
        "trt_profile_min_shapes",
        "trt_profile_max_shapes",
        "trt_profile_opt_shapes",
        TENSORRT_GRAPHS,
        "trt_dump_ep_context_model",
        "trt_ep_context_file_path",
        "trt_ep_context_embed_mode",
    }
)
# The deprecated spelling: parameters of the model instead of the accelerator's.
_DEPRECATED_CHOICES = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
}


def execution_providers(options: LoadOptions, device: Device) -> Sequence[Provider]:
    """(name, options) per provider, in order of preference. Raises BackendError (INVALID_ARG)."""
    accelerators = options.accelerators.get(device.kind, ())
    providers: list[Provider] = []
    cuda: dict[str, str] = {}
    for name, parameters in accelerators:
        if device.kind == "GPU" and name == "tensorrt":
            providers.append((TENSORRT, {**tensorrt_options(parameters), "device_id": str(device.id)}))
        elif device.kind == "GPU" and name == "cuda":
            cuda.update(parameters)
        else:
            raise BackendError(f"unknown Execution Accelerator '{name}' is requested", "INVALID_ARG")
    if device.kind == "GPU":
        deprecated = _deprecated_cuda_options(options.parameters)
        providers.append((CUDA, {**deprecated, **cuda, "device_id": str(device.id)}))
    return [*providers, (CPU, {})]


def tensorrt_options(parameters: Mapping[str, str]) -> dict[str, str]:
    """Options of the TensorRT provider from the parameters of the `tensorrt` accelerator."""
    result: dict[str, str] = {}
    for name, value in parameters.items():
        if name == TENSORRT_GRAPHS and boolean(value):
            # It records one graph, of the first batch, and replays it for every other, whatever was bound for that.
            raise BackendError(
                f"parameter '{name}' of the TensorRT Execution Accelerator is not supported", "UNSUPPORTED"
            )
        if name == "precision_mode":
            result.update(_precision(value))
        elif name in _TENSORRT_PASSED:
            result[name] = value
        elif name in _TENSORRT_RENAMED:
            result[_TENSORRT_RENAMED[name]] = value
        else:
            message = f"unknown parameter '{name}' is provided for TensorRT Execution Accelerator"
            raise BackendError(message, "INVALID_ARG")
    return result


def _precision(mode: str) -> Mapping[str, str]:
    if mode not in _PRECISIONS:
        raise BackendError(f"unsupported precision mode '{mode}' is requested", "INVALID_ARG")
    return _PRECISIONS[mode]


def _deprecated_cuda_options(parameters: Mapping[str, str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for name, choices in _DEPRECATED_CHOICES.items():
        if name in parameters:
            value = parameters[name]
            if value not in choices:
                raise BackendError(f"unsupported {name} value '{value}' is requested", "INVALID_ARG")
            result[name] = choices[value]
    if "do_copy_in_default_stream" in parameters:
        result["do_copy_in_default_stream"] = parameters["do_copy_in_default_stream"]
    if "gpu_mem_limit" in parameters:
        result["gpu_mem_limit"] = str(integer(parameters["gpu_mem_limit"]))
    return result
