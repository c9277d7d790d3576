"""Traces of inferences: the stops of HTTP, with the front's own ones at both ends."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.grpc_calls import INFER, STREAM, Calls, serving_calls
from tests.support.infer_messages import infer_message, tensor

from despina.grpc import status

MODEL = "identity_fp32"
FRONT = {"GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "GRPC_SEND_START", "GRPC_SEND_END"}
SCHEDULED = {"REQUEST_START", "QUEUE_START", "INFER_RESPONSE_COMPLETE", "REQUEST_END"}


def request(request_id: str, shape: tuple[int, ...] = (1, 3)) -> bytes:
    data = np.zeros(shape, "<f4").tobytes()
    message = infer_message([tensor("INPUT0", "FP32", shape)], [data], model=MODEL, request_id=request_id)
    serialized: bytes = message.SerializeToString()
    return serialized


def traces(folder: Path) -> dict[int, tuple[str, list[str]]]:
    """By their numbers: the id of the request, and the names of all stamps in the order of their times."""
    found: dict[int, tuple[str, list[tuple[int, str]]]] = {}
    for path in folder.iterdir():
        for entry in json.loads(path.read_text()):
            request_id, stamps = found.setdefault(entry["id"], (entry.get("request_id", ""), []))
            found[entry["id"]] = (entry.get("request_id", request_id), stamps)
            stamps += [(stamp["ns"], stamp["name"]) for stamp in entry.get("timestamps", ())]
    return {number: (name, [stamp for _, stamp in sorted(stamps)]) for number, (name, stamps) in found.items()}


@pytest.mark.parametrize("path", [INFER, STREAM])
async def test_every_inference_is_traced_from_end_to_end(tmp_path: Path, path: str) -> None:
    file = {"file": (str(tmp_path / "trace"),)}
    config: Any = {"": {"rate": ("1",), "level": ("TIMESTAMPS",)}, "triton": file}
    async with serving_calls((MODEL,), trace_config=config) as service:
        calls = Calls(service)
        for number in range(4):
            assert (await calls.call(request(str(number)), path)).code == status.OK
        await calls.call(request("refused", (9, 3)), path)
    found = traces(tmp_path)
    assert [request_id for request_id, _ in found.values()] == ["0", "1", "2", "3", ""]
    for request_id, stamps in found.values():
        assert stamps[:2] == ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END"]
        assert stamps[-2:] == ["GRPC_SEND_START", "GRPC_SEND_END"]
        assert set(stamps) >= (FRONT | SCHEDULED if request_id else FRONT)
