"""One sort of request: how it is written, and what its answer must be."""

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measurement import Kind
from benchmarks.requests import http_request, infer_body
from benchmarks.scenarios.served import SERVED
from despina_backends.base import Array


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the output tensors that answer it by name, where they are known. `compared`: whether two servers
    must answer the same."""

    request: bytes
    outputs: Mapping[str, Array] = field(default_factory=dict)
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Infer:
    """`count` inference requests to a model of SERVED, with `width` numbers of their own in every row of every tensor.

    `got`: in which form the outputs are asked for, where it is not that of the inputs; `named`: whether they are named.
    `fields` stand beside inputs and outputs in the JSON, `numbered` likewise, by the number of the request.
    `classes`: how many classes each output is to be answered with, 0 for its numbers. `gzipped`: the body."""

    model: str
    width: int = 16
    rows: int = 1
    count: int = 4
    got: Kind | None = None
    named: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)
    numbered: Callable[[int], Mapping[str, Any]] = lambda number: {}
    classes: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    gzipped: bool = False

    def exchanges(self, kind: Kind) -> Iterator[Exchange]:
        for number in range(self.count):
            yield self._exchange(kind, number)

    def _exchange(self, kind: Kind, number: int) -> Exchange:
        model = SERVED[self.model]
        rng = np.random.default_rng(number)
        tensors = [values(rng, model.dtype, (self.rows, self.width)) for _ in range(model.tensors)]
        fields = {**self.fields, **self.numbered(number)}
        if self.named:
            fields["outputs"] = [self._output(f"OUT{each}", self.got or kind) for each in range(model.tensors)]
        inputs = {f"IN{each}": tensor for each, tensor in enumerate(tensors)}
        head, headers, tail = infer_body(inputs, kind, fields, doubles=True)
        body = head + tail
        if self.gzipped:
            body, headers = gzip.compress(body, 1, mtime=0), {**headers, "Content-Encoding": "gzip"}
        request = http_request(f"/v2/models/{self.model}/infer", {**headers, **self.headers}, body)
        outputs = {} if self.classes else {f"OUT{each}": tensor for each, tensor in enumerate(tensors)}
        return Exchange(request, outputs)

    def _output(self, name: str, got: Kind) -> dict[str, Any]:
        parameters: dict[str, object] = {"binary_data": True} if got == "binary" else {}
        if self.classes:
            parameters["classification"] = self.classes
        return {"name": name, "parameters": parameters} if parameters else {"name": name}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request without a body. `compared` as for exchanges."""

    path: str
    method: str = "GET"
    compared: bool = True

    def exchanges(self, kind: Kind) -> Iterator[Exchange]:
        yield Exchange(http_request(self.path, {}, b"", self.method), compared=self.compared)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is sent by turns, with tensors in this form."""

    name: str
    kind: Kind
    asked: Sequence[Infer | Ask]

    def exchanges(self) -> list[Exchange]:
        return [exchange for each in self.asked for exchange in each.exchanges(self.kind)]


def values(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> Array:
    """Normally distributed floats, whole numbers below 200, words."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if kind == "b":
        return rng.random(shape) > 0.5
    numbers = rng.integers(0, 200, shape)
    if kind != "O":
        return numbers.astype(dtype)
    return np.array([f"word {number} of some text" for number in numbers.ravel()], object).reshape(shape)
