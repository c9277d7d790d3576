from pathlib import Path
from typing import Any

import pytest

from despina_backends.base import BackendError, Device, LoadOptions
from despina_backends.onnxruntime.providers import execution_providers

GPU = Device("GPU", 1)


def providers(device: Device, **fields: Any) -> list[tuple[str, dict[str, str]]]:
    return list(execution_providers(LoadOptions("m", Path(), **fields), device))


def test_cpu_instance_runs_on_the_cpu_only() -> None:
    assert providers(Device("CPU")) == [("CPUExecutionProvider", {})]


def test_gpu_instance_tries_cuda_first() -> None:
    expected = [("CUDAExecutionProvider", {"device_id": "1"}), ("CPUExecutionProvider", {})]
    assert providers(GPU) == expected


def test_cuda_accelerator_passes_options_but_not_the_device() -> None:
    accelerators = {"GPU": [("cuda", {"use_tf32": "0", "device_id": "7"})]}
    assert providers(GPU, accelerators=accelerators)[0] == (
        "CUDAExecutionProvider",
        {"use_tf32": "0", "device_id": "1"},
    )


def test_deprecated_parameters_reach_cuda_and_the_accelerator_wins() -> None:
    parameters = {
        "cudnn_conv_algo_search": "1",
        "arena_extend_strategy": "1",
        "do_copy_in_default_stream": "0",
        "gpu_mem_limit": "1024",
    }
    accelerators = {"GPU": [("cuda", {"gpu_mem_limit": "2048"})]}
    assert providers(GPU, parameters=parameters, accelerators=accelerators)[0][1] == {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "0",
        "gpu_mem_limit": "2048",
        "device_id": "1",
    }


def test_where_to_copy_is_passed_on_as_it_is_written() -> None:
    options = providers(GPU, parameters={"do_copy_in_default_stream": "false"})[0][1]
    assert options == {"do_copy_in_default_stream": "false", "device_id": "1"}


def test_tensorrt_comes_before_cuda_with_its_keys_translated() -> None:
    keys = {"precision_mode": "FP16", "max_workspace_size_bytes": "9", "trt_engine_cache_enable": "1"}
    names = providers(GPU, accelerators={"GPU": [("tensorrt", keys)]})
    assert [name for name, _ in names] == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]
    assert names[0][1] == {
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "9",
        "trt_engine_cache_enable": "1",
        "device_id": "1",
    }


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_tensorrt_may_not_record_graphs(value: str) -> None:
    with pytest.raises(BackendError, match=r"^parameter 'trt_cuda_graph_enable' .* is not supported$") as caught:
        providers(GPU, **gpu("tensorrt", trt_cuda_graph_enable=value))
    assert caught.value.code == "UNSUPPORTED"
    options = providers(GPU, **gpu("tensorrt", trt_cuda_graph_enable="0"))[0][1]
    assert options["trt_cuda_graph_enable"] == "0"


def gpu(name: str, **parameters: str) -> dict[str, Any]:
    return {"accelerators": {"GPU": [(name, parameters)]}}


@pytest.mark.parametrize(
    ("device", "fields", "text"),
    [
        (GPU, gpu("openvino"), "unknown Execution Accelerator 'openvino' is requested"),
        (
            Device("CPU"),
            {"accelerators": {"CPU": [("openvino", {})]}},
            "unknown Execution Accelerator 'openvino' is requested",
        ),
        (GPU, gpu("tensorrt", precision_mode="FP8"), "unsupported precision mode 'FP8' is requested"),
        (GPU, gpu("tensorrt", foo="1"), "unknown parameter 'foo' is provided for TensorRT Execution Accelerator"),
        (
            GPU,
            {"parameters": {"cudnn_conv_algo_search": "3"}},
            "unsupported cudnn_conv_algo_search value '3' is requested",
        ),
        (
            GPU,
            {"parameters": {"arena_extend_strategy": "x"}},
            "unsupported arena_extend_strategy value 'x' is requested",
        ),
        (GPU, {"parameters": {"gpu_mem_limit": "1GB"}}, "failed to convert '1GB' to integral number"),
    ],
)
def test_what_cannot_be_had_is_refused(device: Device, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BackendError) as caught:
        providers(device, **fields)
    assert (caught.value.message, caught.value.code) == (text, "INVALID_ARG")


def test_accelerators_of_the_other_device_are_ignored() -> None:
    assert providers(Device("CPU"), **gpu("openvino")) == [("CPUExecutionProvider", {})]
