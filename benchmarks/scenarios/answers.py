"""Whether the answers to scenarios are right: the tensors that were sent, and the same from every server."""

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measurement import Point
from benchmarks.requests import raw_tensor
from benchmarks.scenarios.region import Region
from benchmarks.scenarios.scenario import Exchange
from benchmarks.verify import WrongAnswer, ask_all

SAMPLE = 64
"""So many of a scenario's requests are looked at, the first ones; of the others it is only counted what is not 200."""
PRECISION = 1e-12
"""Of numbers in JSON, relative: tritonserver does not read the last digit of all of them."""


@dataclass(frozen=True, slots=True)
class Content:
    """The JSON of an answer, and the binary tensors behind it. None where the answer is empty."""

    told: Any
    tail: bytes

    def __str__(self) -> str:
        return f"{json.dumps(self.told)[:300]} and {len(self.tail)} bytes"


@dataclass(slots=True)
class FirstAnswers:
    """Those of the server that was asked first at a point, which the others must give, too."""

    point: Point | None = None
    answers: dict[int, Content] = field(default_factory=dict)

    def verify(self, port: int, point: Point, exchanges: Sequence[Exchange], region: Region) -> None:
        """Raises WrongAnswer, and OSError."""
        region.fill(exchanges)
        if self.point != point:
            self.point, self.answers = point, {}

        def check(number: int, headers: dict[str, str], body: bytes) -> None:
            content = read(headers, body)
            exchange = exchanges[number]
            if exchange.outputs and not has_outputs(content, exchange.outputs, region.outputs(exchange)):
                raise WrongAnswer(f"{point.model}: request {number} got other tensors than it sent: {content}")
            first = self.answers.setdefault(number, content)
            if exchange.compared and not alike(content, first):
                raise WrongAnswer(f"{point.model}: request {number} got {content}, from another server {first}")

        ask_all(port, point.model, [each.request for each in exchanges[:SAMPLE]], check, point.connections)


def read(headers: Mapping[str, str], body: bytes) -> Content:
    """Header names are in lower case. Raises ValueError."""
    if headers.get("content-encoding") == "gzip":
        try:
            body = gzip.decompress(body)
        except (zlib.error, EOFError, OSError) as error:
            raise ValueError(f"not gzip: {error}") from None
    length = int(headers.get("inference-header-content-length", len(body)))
    return Content(json.loads(body[:length]) if length else None, body[length:])


def alike(one: Content, other: Content) -> bool:
    return one.tail == other.tail and same(one.told, other.told)


def same(one: Any, other: Any) -> bool:
    """Whether JSON is the same, but for the last digits of its numbers."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=PRECISION)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other) and type(one) is type(other)


def has_outputs(content: Content, outputs: Mapping[str, Any], shared: Mapping[str, bytes]) -> bool:
    """Whether these tensors and no others are in the answer, in either form; of those in shared memory, what lies
    there."""
    told = content.told["outputs"]
    begin = 0
    for each in told:
        tensor = outputs[each["name"]]
        if (there := shared.get(each["name"])) is not None:
            right = there == raw_tensor(tensor) and not {"data", "parameters"} & each.keys()
        elif (size := each.get("parameters", {}).get("binary_data_size")) is None:
            right = same(each["data"], tensor.ravel().tolist())
        else:
            right = content.tail[begin : begin + size] == raw_tensor(tensor)
            begin += size
        if not right or each["shape"] != list(tensor.shape):
            return False
    return len(told) == len(outputs) and begin == len(content.tail)
