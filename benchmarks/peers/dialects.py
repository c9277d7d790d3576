"""The requests of servers that have formats of their own."""

import json

import numpy as np
import orjson

from benchmarks.contender import Dialect
from benchmarks.measurement import Kind
from benchmarks.requests import http_request
from benchmarks.verify import Answer
from benchmarks.workload import Workload

JSON = {"Content-Type": "application/json"}


def json_rows(path: str, sent: str, got: str, nested: bool) -> Dialect:
    """`{sent: [...]}` is answered `{got: [...]}`; `nested`: a list of rows instead of one row."""

    def render(workload: Workload, kind: Kind, row: int) -> bytes:
        (rows,) = workload.inputs.values()
        values = rows[row : row + 1] if nested else rows[row]
        return http_request(path, JSON, orjson.dumps({sent: values}, option=orjson.OPT_SERIALIZE_NUMPY))

    def read(workload: Workload, kind: Kind) -> Answer:
        return lambda headers, body: np.array(json.loads(body)[got], workload.expected.dtype).reshape(1, -1)

    return Dialect(render, read)


def raw_or_json_rows(path: str, sent: str, got: str) -> Dialect:
    """Binary: the bytes of a row, answered by the bytes of its answer. JSON: as `json_rows`, not nested."""
    as_json = json_rows(path, sent, got, nested=False)

    def render(workload: Workload, kind: Kind, row: int) -> bytes:
        (rows,) = workload.inputs.values()
        if kind == "json":
            return as_json.render(workload, kind, row)
        return http_request(path, {"Content-Type": "application/octet-stream"}, rows[row].tobytes())

    def read(workload: Workload, kind: Kind) -> Answer:
        if kind == "json":
            return as_json.read(workload, kind)
        return lambda headers, body: np.frombuffer(body, workload.expected.dtype).reshape(1, -1)

    return Dialect(render, read)
