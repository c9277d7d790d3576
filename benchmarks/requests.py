"""Requests rendered beforehand, and the answers to them taken apart.

Every request carries rows of its own, so that an answer that belongs to somebody else's request is found out.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from benchmarks.measurement import Kind
from benchmarks.places import REQUESTS
from benchmarks.workload import Workload
from despina_backends.base import Array

DATATYPES = {"float32": "FP32", "float16": "FP16", "int64": "INT64", "int32": "INT32", "uint8": "UINT8"}


def http_request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A complete keep-alive POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in {**headers, "Content-Length": str(len(body))}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def v2_request(workload: Workload, kind: Kind, row: int) -> bytes:
    """The v2 request with the given row, outputs named and asked for in the same form as the inputs come in."""
    head, headers, tail = v2_body(workload, kind, row)
    return http_request(f"/v2/models/{workload.name}/infer", headers, head + tail)


def v2_body(workload: Workload, kind: Kind, row: int) -> tuple[bytes, dict[str, str], bytes]:
    """JSON, headers, and binary tensors."""
    binary = kind == "binary"
    inputs: list[dict[str, object]] = []
    tail = b""
    for name, rows in workload.inputs.items():
        tensor = np.ascontiguousarray(rows[row : row + 1])
        entry: dict[str, object] = {"name": name, "shape": list(tensor.shape), "datatype": DATATYPES[tensor.dtype.name]}
        if binary:
            entry["parameters"] = {"binary_data_size": tensor.nbytes}
            tail += tensor.tobytes()
        else:
            entry["data"] = tensor.ravel()
        inputs.append(entry)
    outputs = [{"name": workload.output, **({"parameters": {"binary_data": True}} if binary else {})}]
    head = orjson.dumps({"inputs": inputs, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    if binary:
        return head, {"Inference-Header-Content-Length": str(len(head))}, tail
    return head, {"Content-Type": "application/json"}, b""


def v2_answer(workload: Workload, headers: dict[str, str], body: bytes) -> Array:
    """The output tensor of a v2 response; header names are in lower case."""
    length = int(headers.get("inference-header-content-length", len(body)))
    (output,) = json.loads(body[:length])["outputs"]
    dtype = workload.expected.dtype
    values = np.frombuffer(body, dtype, offset=length) if length < len(body) else np.array(output["data"], dtype)
    return values.reshape(output["shape"])


def write_requests(requests: Sequence[bytes]) -> list[Path]:
    """Files with these requests, for generators that read them."""
    REQUESTS.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for request in requests:
        file = REQUESTS / hashlib.sha256(request).hexdigest()[:24]
        if not file.exists():
            # A run that was interrupted must not leave half a request under the name of a whole one.
            partial = file.with_suffix(".new")
            partial.write_bytes(request)
            partial.replace(file)
        files.append(file)
    return files
