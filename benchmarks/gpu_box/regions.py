"""Memory shared with the server: the rows of a workload in system or in CUDA shared memory, and its registration."""

import base64
import ctypes
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.measurement import Kind
from benchmarks.requests import DATATYPES, http_request
from benchmarks.workload import Workload

REGION = "rows"
_TO_DEVICE = 1
SHARED = Path("/dev/shm")


def offsets(workload: Workload) -> dict[str, int]:
    """Where each input begins in the region: all rows of one, then all rows of the next."""
    begins = accumulate((rows.nbytes for rows in workload.inputs.values()), initial=0)
    return dict(zip(workload.inputs, begins, strict=False))


def content(workload: Workload) -> bytes:
    """The bytes of the region."""
    return b"".join(np.ascontiguousarray(rows).tobytes() for rows in workload.inputs.values())


def shared_request(workload: Workload, _kind: Kind, row: int) -> bytes:
    """The v2 request whose inputs are a row of the region; its output comes back in the response, in binary form."""
    begins = offsets(workload)
    inputs = []
    for name, rows in workload.inputs.items():
        size = rows[:1].nbytes
        place = {
            "shared_memory_region": REGION,
            "shared_memory_offset": begins[name] + row * size,
            "shared_memory_byte_size": size,
        }
        shape, datatype = [1, *rows.shape[1:]], DATATYPES[rows.dtype.name]
        inputs.append({"name": name, "shape": shape, "datatype": datatype, "parameters": place})
    outputs = [{"name": workload.output, "parameters": {"binary_data": True}}]
    body = orjson.dumps({"inputs": inputs, "outputs": outputs})
    return http_request(f"/v2/models/{workload.name}/infer", {"Content-Type": "application/json"}, body)


@contextmanager
def system_region(port: int, workload: Workload) -> Iterator[None]:
    """The rows in system shared memory, registered with the server on `port`."""
    rows = content(workload)
    path = SHARED / f"despina-gpu-box-{os.getpid()}"
    path.write_bytes(rows)
    try:
        _post(port, "systemsharedmemory", {"key": f"/{path.name}", "offset": 0, "byte_size": len(rows)})
        yield
        _post(port, "systemsharedmemory", None)
    finally:
        path.unlink()


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
        _post(
            port,
            "cudasharedmemory",
            {"raw_handle": {"b64": encoded}, "device_id": 0, "byte_size": len(rows)},
        )
        yield
        _post(port, "cudasharedmemory", None)
    finally:
        _call(cudart, "cudaFree", address)


def _call(cudart: Any, name: str, *arguments: Any) -> None:
    if status := getattr(cudart, name)(*arguments):
        raise OSError(f"{name} returned {status}")


def _post(port: int, family: str, document: Mapping[str, Any] | None) -> None:
    """Register, or unregister for None."""
    action = "unregister" if document is None else "register"
    url = f"http://127.0.0.1:{port}/v2/{family}/region/{REGION}/{action}"
    body = b"" if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")):
        pass
