"""Requests rendered beforehand, and the answers to them taken apart.

Every request carries rows of its own, so that an answer that belongs to somebody else's request is found out.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from benchmarks.measurement import Kind
from benchmarks.places import REQUESTS
from benchmarks.workload import Workload
from despina_backends.base import Array

DATATYPES = {
    "float64": "FP64",
    "float32": "FP32",
    "float16": "FP16",
    "int64": "INT64",
    "int32": "INT32",
    "uint8": "UINT8",
    "bool": "BOOL",
    "object": "BYTES",
}
"""By the names of numpy's; those of BYTES are arrays of `str`."""


def http_request(
    path: str, headers: Mapping[str, str], body: bytes = b"", method: str = "POST", *, chunked: bool = False
) -> bytes:
    """A complete request; the connection is kept unless the headers say otherwise. `chunked`: its body, as one."""
    length = {} if method == "GET" else {"Content-Length": str(len(body))}
    if chunked:
        length = {"Transfer-Encoding": "chunked"}
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in {**headers, **length}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def v2_request(workload: Workload, kind: Kind, row: int) -> bytes:
    """The v2 request with the given row, outputs named and asked for in the same form as the inputs come in."""
    head, headers, tail = v2_body(workload, kind, row)
    return http_request(f"/v2/models/{workload.name}/infer", headers, head + tail)


def v2_body(workload: Workload, kind: Kind, row: int) -> tuple[bytes, dict[str, str], bytes]:
    """JSON, headers, and binary tensors."""
    inputs = {name: rows[row : row + 1] for name, rows in workload.inputs.items()}
    output = {"name": workload.output, **({"parameters": {"binary_data": True}} if kind == "binary" else {})}
    return infer_body(inputs, kind, {"outputs": [output]})


def infer_body(
    inputs: Mapping[str, Array],
    kind: Kind,
    fields: Mapping[str, Any],
    doubles: bool = False,
    places: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
) -> tuple[bytes, dict[str, str], bytes]:
    """As `v2_body`, with these tensors and, beside them, `fields` in the JSON: id and parameters before the inputs, as
    Triton's client writes them, others behind. `doubles`: with all digits that a number has as a double, as Python's
    own JSON and Triton's client write it, whatever its datatype. `places`: parameters instead of the data of inputs."""
    binary = kind == "binary"
    entries: list[dict[str, object]] = []
    tail = b""
    for name, values in inputs.items():
        tensor = np.ascontiguousarray(values)
        entry: dict[str, object] = {"name": name, "shape": list(tensor.shape), "datatype": DATATYPES[tensor.dtype.name]}
        if name in places:
            entry["parameters"] = places[name]
        elif binary:
            raw = raw_tensor(tensor)
            entry["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            entry["data"] = tensor.ravel().tolist() if doubles or tensor.dtype == object else tensor.ravel()
        entries.append(entry)
    before = {name: fields[name] for name in ("id", "parameters") if name in fields}
    head = orjson.dumps({**before, "inputs": entries, **fields}, option=orjson.OPT_SERIALIZE_NUMPY)
    if binary:
        return head, {"Inference-Header-Content-Length": str(len(head))}, tail
    return head, {"Content-Type": "application/json"}, b""


def raw_tensor(tensor: Array) -> bytes:
    """As it lies behind the JSON; each string with its length before it."""
    if tensor.dtype != object:
        return tensor.tobytes()
    strings = [str(each).encode() for each in tensor.ravel()]
    return b"".join(len(each).to_bytes(4, "little") + each for each in strings)


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
