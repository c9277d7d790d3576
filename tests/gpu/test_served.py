"""A server with a GPU: CUDA shared memory between two processes, and the metrics of the GPU."""

import base64
import ctypes
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.serving import free_port, running, serving

pytestmark = pytest.mark.gpu

CONFIG = "max_batch_size: 4 instance_group { kind: KIND_GPU gpus: 0 }"
GRAPH = "g (float[N,4] x) => (float[N,4] y) { y = Neg(x) }"
TO_DEVICE, TO_HOST = 1, 2


def post(port: int, path: str, document: dict[str, Any] | None = None) -> bytes:
    body = b"" if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{port}/v2/{path}", body, method="POST"), timeout=30
    ) as response:
        content: bytes = response.read()
    return content


def call(cudart: Any, name: str, *arguments: Any) -> None:
    assert getattr(cudart, name)(*arguments) == 0, name


@contextmanager
def device_memory(cudart: Any, size: int) -> Iterator[ctypes.c_void_p]:
    address = ctypes.c_void_p()
    call(cudart, "cudaSetDevice", 0)
    call(cudart, "cudaMalloc", ctypes.byref(address), ctypes.c_size_t(size))
    try:
        yield address
    finally:
        call(cudart, "cudaFree", address)


def register(cudart: Any, port: int, name: str, address: ctypes.c_void_p, size: int) -> None:
    handle = ctypes.create_string_buffer(64)
    call(cudart, "cudaIpcGetMemHandle", handle, address)
    raw = {"b64": base64.b64encode(handle.raw).decode()}
    document = {"raw_handle": raw, "device_id": 0, "byte_size": size}
    post(port, f"cudasharedmemory/region/{name}/register", document)


def in_region(name: str) -> dict[str, Any]:
    return {"shared_memory_region": name, "shared_memory_byte_size": 16}


def test_tensors_in_cuda_memory_of_another_process(cudart: Any, repository: Callable[..., Path]) -> None:
    given = np.array([[1, 2, 3, 4]], np.float32)
    got = np.zeros_like(given)
    size = ctypes.c_size_t(16)
    with (
        serving(repository(GRAPH, CONFIG), ["--allow-client-shm=true"]) as port,
        device_memory(cudart, 16) as source,
        device_memory(cudart, 16) as target,
    ):
        call(cudart, "cudaMemcpy", source, given.ctypes.data_as(ctypes.c_void_p), size, TO_DEVICE)
        call(cudart, "cudaDeviceSynchronize")  # the copy may return when the driver has a copy of its own
        register(cudart, port, "in", source, 16)
        register(cudart, port, "out", target, 16)
        inputs = [{"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": in_region("in")}]
        answer = post(
            port, "models/m/infer", {"inputs": inputs, "outputs": [{"name": "y", "parameters": in_region("out")}]}
        )
        assert "data" not in json.loads(answer)["outputs"][0]
        call(cudart, "cudaMemcpy", got.ctypes.data_as(ctypes.c_void_p), target, size, TO_HOST)
        post(port, "cudasharedmemory/unregister")
    assert got.tolist() == [[-1, -2, -3, -4]]


def test_the_metrics_tell_of_the_gpu(repository: Callable[..., Path], tmp_path: Path) -> None:
    port = free_port()
    with (
        running(repository(GRAPH, CONFIG), [f"--metrics-port={port}"], tmp_path / "log"),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response,
    ):
        text = response.read().decode()
    lines = [line for line in text.splitlines() if "gpu_uuid=" in line]
    samples = {line.partition("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
    assert samples["nv_gpu_memory_total_bytes"] > 1e9
    assert 0 < samples["nv_gpu_memory_used_bytes"] <= samples["nv_gpu_memory_total_bytes"]
    assert 0 <= samples["nv_gpu_utilization"] <= 1
    assert samples["nv_inference_count"] == 0
