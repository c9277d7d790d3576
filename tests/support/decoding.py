"""A request that is decoded, from what it says."""

import json
from typing import Any

from despina.protocol.decode import Context, Limits, decode_request, no_shared_memory
from despina.protocol.messages import InferRequest


def decode(document: Any, blob: bytes = b"", limit: int = (1 << 21) - 1) -> InferRequest:
    head = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = memoryview(head + blob)
    return decode_request(body, len(head), Context("m", Limits(limit), no_shared_memory))


def tensor(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "FP32", **fields}


def nested(depth: int) -> list[Any]:
    data: list[Any] = [1.0]
    for _ in range(depth - 1):
        data = [data]
    return data
