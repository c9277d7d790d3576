"""One sort of request: how it is written, and what its answer must be."""

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from benchmarks.measurement import Kind
from benchmarks.requests import http_request, infer_body
from benchmarks.scenarios.served import SERVED
from benchmarks.shared_memory import place
from despina_backends.base import Array

REGION = "scenarios"
"""The region of shared memory in which the tensors lie that are not sent."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, its tensors, and those that answer it by name, where they are known. `compared`: whether two servers
    must answer the same. `shared`: where in REGION the tensors of these names lie."""

    request: bytes
    outputs: Mapping[str, Array] = field(default_factory=dict)
    compared: bool = True
    inputs: Mapping[str, Array] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Infer:
    """`count` inference requests to a model of SERVED, with `width` numbers of their own in every row of every tensor.

    `got`: in which form the outputs are asked for, where it is not that of the inputs; `named`: whether they are named.
    `fields` stand beside inputs and outputs in the JSON, `numbered` likewise, by the number of the request, and so are
    `headers`.
    `classes`: how many classes each output is to be answered with, 0 for its numbers. `gzipped`, `chunked`: the body.
    `shared`: how the names of those tensors begin that lie in REGION, no strings. Each request has places of its own
    there; the scenario has no other requests."""

    model: str
    width: int = 16
    rows: int = 1
    count: int = 4
    got: Kind | None = None
    named: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)
    numbered: Callable[[int], Mapping[str, Any]] = lambda number: {}
    classes: int = 0
    headers: Callable[[int], Mapping[str, str]] = lambda number: {}
    gzipped: bool = False
    chunked: bool = False
    shared: tuple[Literal["IN", "OUT"], ...] = ()

    def exchanges(self, kind: Kind) -> Iterator[Exchange]:
        for number in range(self.count):
            yield self._exchange(kind, number)

    def _exchange(self, kind: Kind, number: int) -> Exchange:
        model = SERVED[self.model]
        rng = np.random.default_rng(number)
        tensors = [values(rng, model.dtype, (self.rows, self.width)) for _ in range(model.tensors)]
        inputs = {f"IN{each}": tensor for each, tensor in enumerate(tensors)}
        outputs = {f"OUT{each}": tensor for each, tensor in enumerate(tensors)}
        named = {**inputs, **outputs}
        shared = self._offsets(number, named)
        places = {name: place(REGION, offset, named[name].nbytes) for name, offset in shared.items()}
        fields = {**self.fields, **self.numbered(number)}
        if self.named:
            fields["outputs"] = [self._output(name, self.got or kind, places) for name in outputs]
        head, headers, tail = infer_body(inputs, kind, fields, doubles=True, places=places)
        body = head + tail
        if self.gzipped:
            body, headers = gzip.compress(body, 1, mtime=0), {**headers, "Content-Encoding": "gzip"}
        path = f"/v2/models/{self.model}/infer"
        request = http_request(path, {**headers, **self.headers(number)}, body, chunked=self.chunked)
        return Exchange(request, {} if self.classes else outputs, inputs=inputs, shared=shared)

    def _offsets(self, number: int, tensors: Mapping[str, Array]) -> dict[str, int]:
        """Where in REGION those of request `number` lie that are shared, one behind the other."""
        sizes = {name: tensor.nbytes for name, tensor in tensors.items() if name.startswith(self.shared)}
        begins = accumulate(sizes.values(), initial=number * sum(sizes.values()))
        return dict(zip(sizes, begins, strict=False))

    def _output(self, name: str, got: Kind, places: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
        if name in places:
            return {"name": name, "parameters": places[name]}
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
