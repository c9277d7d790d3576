"""Memory shared with the server: the rows of a workload in system or in CUDA shared memory, and its registration."""

import base64
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np

from benchmarks.measurement import Kind
from benchmarks.requests import http_request, infer_body
from benchmarks.shared_memory import place, post, register_segment, segment
from benchmarks.workload import Workload

REGION = "rows"
_TO_DEVICE = 1


def offsets(workload: Workload) -> dict[str, int]:
    """Where each input begins in the region: all rows of one, then all rows of the next."""
    begins = accumulate((rows.nbytes for rows in workload.inputs.values()), initial=0)
    return dict(zip(workload.inputs, begins, strict=False))


def content(workload: Workload) -> bytes:
    """The bytes of the region."""
    return b"".join(np.ascontiguousarray(rows).tobytes() for rows in workload.inputs.values())


def shared_request(workload: Workload, _kind: Kind, row: int) -> bytes:
    """The v2 request whose inputs are a row of the region; its output comes back in the response, in binary form."""
    inputs = {name: rows[row : row + 1] for name, rows in workload.inputs.items()}
    begins = offsets(workload)
    places = {name: place(REGION, begins[name] + row * each.nbytes, each.nbytes) for name, each in inputs.items()}
    outputs = [{"name": workload.output, "parameters": {"binary_data": True}}]
    body, headers, _ = infer_body(inputs, "json", {"outputs": outputs}, places=places)
    return http_request(f"/v2/models/{workload.name}/infer", headers, body)


@contextmanager
def system_region(port: int, workload: Workload) -> Iterator[None]:
    """The rows in system shared memory, registered with the server on `port`."""
    rows = content(workload)
    with segment("gpu-box", len(rows)) as path:
        path.write_bytes(rows)
        register_segment(port, REGION, path)
        yield
        post(port, "systemsharedmemory", REGION, None)


@contextmanager
def cuda_region(port: int, workload: Workload, cudart: Any) -> Iterator[None]:
    """The rows in memory of GPU 0, registered with the server on `port`. `cudart` is libcudart; raises OSError when it
    refuses a call."""
    rows = content(workload)
    address, handle = ctypes.c_void_p(), ctypes.create_string_buffer(64)
    _call(cudart, "cudaMalloc", ctypes.byref(address), ctypes.c_size_t(len(rows)))
    try:
        _call(cudart, "cudaMemcpy", address, rows, ctypes.c_size_t(len(rows)), _TO_DEVICE)
        _call(cudart, "cudaIpcGetMemHandle", handle, address)
        encoded = base64.b64encode(handle.raw).decode()
        document = {"raw_handle": {"b64": encoded}, "device_id": 0, "byte_size": len(rows)}
        post(port, "cudasharedmemory", REGION, document)
        yield
        post(port, "cudasharedmemory", REGION, None)
    finally:
        _call(cudart, "cudaFree", address)


def _call(cudart: Any, name: str, *arguments: Any) -> None:
    if status := getattr(cudart, name)(*arguments):
        raise OSError(f"{name} returned {status}")
