"""A group of traces as tritonserver writes it into a trace file."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from despina.telemetry.tracing.trace import Entry, Request, Stamp, Trace


def render_groups(groups: Iterable[Sequence[Trace]]) -> bytes:
    """JSON objects separated by commas, without the brackets around them. Later children come before earlier ones and
    the root comes last."""
    parts = [_render(trace, entry) for group in groups for trace in reversed(group) for entry in trace.entries]
    return ",".join(parts).encode("utf-8", "surrogateescape")


def _render(trace: Trace, entry: Entry) -> str:
    return json.dumps({"id": trace.id} | _members(trace, entry), ensure_ascii=False, separators=(",", ":"))


def _members(trace: Trace, entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Stamp):
        return {"timestamps": [{"name": entry.name, "ns": entry.ns}]}
    if isinstance(entry, Request):
        return _request(trace, entry)
    data = _elements(entry.datatype, entry.array)
    shape = ",".join(str(dimension) for dimension in entry.shape)
    tensor = {"name": entry.name, "data": data, "shape": shape, "dtype": entry.datatype}
    return {"activity": entry.activity, "tensor": tensor}


def _request(trace: Trace, request: Request) -> dict[str, Any]:
    members: dict[str, Any] = {"model_name": request.model_name, "model_version": request.model_version}
    if request.request_id:
        members["request_id"] = request.request_id
    if trace.parent_id:
        members["parent_id"] = trace.parent_id
    return members


def _elements(datatype: str, array: NDArray[np.generic]) -> str:
    """Separated by commas: strings in quotes, booleans as 0 and 1, floats with six digits, 16-bit floats not at all."""
    values = array.reshape(-1).tolist()
    match datatype:
        case "BYTES":
            return ",".join(f'"{_text(value)}"' for value in values)
        case "FP16" | "BF16":
            return ""
        case "FP32" | "FP64":
            return ",".join(f"{value:g}" for value in values)
        case _:
            return ",".join(str(int(value)) for value in values)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
