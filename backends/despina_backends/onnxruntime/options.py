"""Session and run options from a model's configuration (tritonserver's onnxruntime backend is the model)."""

from types import ModuleType
from typing import Any

from despina_backends.base import BackendError, Device, LoadOptions
from despina_backends.cores import usable_cores
from despina_backends.onnxruntime.parameters import boolean, leading_integer
from despina_backends.onnxruntime.runtime import FATAL, share_thread_pool

_INITIALIZER_ALLOCATOR = "session.use_device_allocator_for_initializers"
_ARENA_SHRINKAGE = "memory.enable_memory_arena_shrinkage"

SPIN_US = 200
"""How long the threads of a session look for more to do before they sleep. ONNX Runtime's own choice is about as long
as a time slice: the threads of an idle session keep whoever has something to do off the core. Much shorter, and they
sleep between two requests of one client, and each run wakes them again."""

CORES_EACH = 4
"""A model whose number of instances nobody chose gets another instance for so many cores. Below, one instance on all
cores answers a lone request in less time, and as many requests as two that share them."""


def session_options(runtime: ModuleType, options: LoadOptions, device: Device) -> Any:
    """`onnxruntime.SessionOptions` for an instance on `device`. Raises BackendError; unknown parameters are ignored."""
    parameters = options.parameters
    result = runtime.SessionOptions()
    result.log_severity_level = FATAL
    result.graph_optimization_level = _graph_level(runtime, options.graph_optimization_level)
    result.execution_mode = _execution_mode(runtime, parameters.get("execution_mode", "0"))
    _set_threads(runtime, result, options, device)
    if "enable_mem_arena" in parameters:
        result.enable_cpu_mem_arena = boolean(parameters["enable_mem_arena"])
    if "enable_mem_pattern" in parameters:
        result.enable_mem_pattern = boolean(parameters["enable_mem_pattern"])
    if _INITIALIZER_ALLOCATOR in parameters:
        result.add_session_config_entry(_INITIALIZER_ALLOCATOR, parameters[_INITIALIZER_ALLOCATOR])
    for library in options.op_library_paths:
        result.register_custom_ops_library(library)
    return result


def run_options(runtime: ModuleType, options: LoadOptions) -> Any:
    """`onnxruntime.RunOptions`, or None when there is nothing to say."""
    shrinkage = options.parameters.get(_ARENA_SHRINKAGE)
    if not shrinkage:
        return None
    result = runtime.RunOptions()
    result.add_run_config_entry(_ARENA_SHRINKAGE, shrinkage)
    return result


def _graph_level(runtime: ModuleType, level: int) -> Any:
    levels = runtime.GraphOptimizationLevel
    named = {-1: levels.ORT_ENABLE_BASIC, 1: levels.ORT_ENABLE_EXTENDED, 2: levels.ORT_DISABLE_ALL}
    return named.get(level, levels.ORT_ENABLE_ALL)


def _execution_mode(runtime: ModuleType, text: str) -> Any:
    modes = {0: runtime.ExecutionMode.ORT_SEQUENTIAL, 1: runtime.ExecutionMode.ORT_PARALLEL}
    mode = leading_integer(text)
    if mode not in modes:
        raise BackendError(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} .",
            "INVALID_ARG",
        )
    return modes[mode]


def _set_threads(runtime: ModuleType, result: Any, options: LoadOptions, device: Device) -> None:
    config = options.backend_config
    if boolean(config.get("enable-global-threadpool", "0")):
        sizes = (leading_integer(config.get(f"{pool}_op_thread_count", "0")) for pool in ("intra", "inter"))
        share_thread_pool(runtime, *sizes)
        result.use_per_session_threads = False
        return
    parameters = options.parameters
    intra_op = leading_integer(parameters.get("intra_op_thread_count", "0"))
    inter_op = leading_integer(parameters.get("inter_op_thread_count", "0"))
    result.intra_op_num_threads = intra_op if intra_op > 0 else _default_threads(options, device)
    if inter_op > 0:
        result.inter_op_num_threads = inter_op
    result.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))


def _default_threads(options: LoadOptions, device: Device) -> int:
    """ONNX Runtime would give every session all the host's cores. Threads beside a GPU only spin."""
    if device.kind == "GPU":
        return 1
    return max(1, (usable_cores() - options.spare_cores) // max(1, options.cpu_instance_count))


def enough_cpu_instances(options: LoadOptions) -> int:
    """How many instances on the CPU are worth having, where that is left to us, for a model that uses the threads it
    gets."""
    if options.cpu_instances_asked or "intra_op_thread_count" in options.parameters:
        return options.cpu_instance_count
    return min(options.cpu_instance_count, max(1, usable_cores() // CORES_EACH))
