"""The generate extension (protocol §1.8): one flat JSON object in, one flat JSON object out."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from despina.errors import AlreadyExists, DespinaError, Internal, InvalidArgument
from despina.protocol import tensor_data
from despina.protocol.datatypes import DATATYPES
from despina.protocol.decode import Limits
from despina.protocol.encode import json_data
from despina.protocol.fields import cut_at_nul, read_field
from despina.protocol.garbage_collector import collector_rests
from despina.protocol.json import Json, as_string, dumps, encode_string, loads
from despina.protocol.messages import InferInput, InferRequest, OutputTensor, Parameter
from despina.protocol.parameters import custom_parameter

_NESTED = "parameters"


@dataclass(frozen=True, slots=True)
class GenerateInput:
    """What a model says about one of its inputs; `shape` with the batch dimension, -1 is variable."""

    datatype: str
    shape: tuple[int, ...]


class _Pairs(list[tuple[str, Json]]):
    """A JSON object with every member it was written with: a key that comes twice is an error where it is an input.
    Its value is that of the first one, both times."""

    def __init__(self, pairs: Iterable[tuple[str, Json]]) -> None:
        written = list(pairs)
        first = dict(reversed(written))
        super().__init__((key, first[key]) for key, _ in written)


@collector_rests
def read_request(body: bytes, inputs: Mapping[str, GenerateInput], limits: Limits) -> InferRequest:
    """Members named like an input become that input, all others parameters. Raises DespinaError."""
    reading = _Reading(inputs, limits)
    reading.read(_pairs(body))
    return reading.request


def _pairs(body: bytes) -> _Pairs:
    document = loads(body)
    if not isinstance(document, dict):
        raise Internal("attempt to get members for non-object")
    try:
        pairs = json.loads(body.decode("utf-8", "surrogateescape"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        pairs = _Pairs((key, _as_pairs(value)) for key, value in document.items())
    assert isinstance(pairs, _Pairs)
    return pairs


def _as_pairs(value: Json) -> Json:
    return _Pairs(value.items()) if isinstance(value, dict) else value


@dataclass(slots=True)
class _Reading:
    inputs: Mapping[str, GenerateInput]
    limits: Limits
    request: InferRequest = field(default_factory=InferRequest)
    byte_size: int = 0

    def read(self, pairs: _Pairs) -> None:
        identity = next((value for key, value in pairs if key == "id"), "")
        self.request.id = cut_at_nul(read_field("id", as_string, identity))
        for key, value in pairs:
            if key == _NESTED:
                self._read_nested(value)
            else:
                self._read_member(cut_at_nul(key), value)

    def _read_nested(self, value: Json) -> None:
        if _NESTED in self.inputs:
            raise InvalidArgument(f"Keyword '{_NESTED}' for nested schema also given as input tensor name")
        if not isinstance(value, _Pairs):
            raise Internal(
                f"Expected JSON object for keyword: '{_NESTED}': attempt to access JSON non-object as object"
            )
        try:
            for key, member in value:
                self._read_member(cut_at_nul(key), member)
        except DespinaError as error:
            raise type(error)(f"Converting keyword: '{_NESTED}': {error.message}") from None

    def _read_member(self, key: str, value: Json) -> None:
        described = self.inputs.get(key)
        if described is None:
            self.request.parameters[key] = custom_parameter(key, value)
            return
        if any(item.name == key for item in self.request.inputs):
            raise AlreadyExists(f"{self.request.label}input '{key}' already exists in request")
        self.request.inputs.append(self._tensor(key, value, described))

    def _tensor(self, name: str, value: Json, described: GenerateInput) -> InferInput:
        elements = value if type(value) is list else [value]
        count = len(elements)
        datatype = DATATYPES.get(described.datatype)
        if datatype is None:
            raise InvalidArgument(f"input '{name}' has unsupported datatype {described.datatype}")
        if datatype.kind == "bytes":
            array = tensor_data.from_json(elements, name, datatype.name, count)
            self._count_bytes(name, tensor_data.serialized_size(array))
            shape = deduce_shape(name, count, described.shape)
        else:
            # Numbers are only converted when they are no more than may be.
            self._count_bytes(name, count * datatype.size)
            shape = deduce_shape(name, count, described.shape)
            array = tensor_data.from_json(elements, name, datatype.name, count)
        return InferInput(name, datatype.name, shape, array)

    def _count_bytes(self, name: str, size: int) -> None:
        limit = self.limits.max_input_size
        if self.byte_size + size > limit:
            raise InvalidArgument(
                f"request size of {self.byte_size} bytes with input '{name}' of size {size} bytes exceeds the maximum "
                f"allowed input size of {limit}. Use --http-max-input-size to increase the limit."
            )
        self.byte_size += size


def deduce_shape(name: str, count: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a list of `count` elements: the innermost variable dimension takes what the fixed ones leave over,
    other variable ones are 1. Raises InvalidArgument when it does not come out even."""
    rest = count
    for dim in reversed(shape):
        if dim > 0:
            rest, left_over = divmod(rest, dim)
            if left_over:
                raise _no_proper_shape(name)
    deduced: list[int] = []
    for dim in reversed(shape):
        deduced.insert(0, rest if dim == -1 else dim)
        if dim == -1:
            rest = 1
    if rest != 1:
        raise _no_proper_shape(name)
    return tuple(deduced)


def _no_proper_shape(name: str) -> InvalidArgument:
    return InvalidArgument(f"The schema can not convert input '{name}' to tensor with proper shape")


def encode_response(
    model: str,
    version: int,
    request_id: str,
    outputs: Iterable[OutputTensor],
    parameters: Mapping[str, Parameter] | None = None,
) -> bytes:
    """One response as a flat object whose keys are sorted by their bytes. Raises InvalidArgument for datatypes JSON
    cannot carry."""
    members = {key: dumps(value) for key, value in (parameters or {}).items()}
    members["model_name"] = dumps(model)
    members["model_version"] = dumps(str(version))
    if request_id:
        members["id"] = dumps(request_id)
    for output in outputs:
        members[output.name] = _value(output)
    ordered = sorted(members, key=encode_string)
    return b"{" + b",".join([dumps(key) + b":" + members[key] for key in ordered]) + b"}"


def _value(output: OutputTensor) -> bytes:
    data = json_data(output.datatype, output.array)
    return data[1:-1] if np.size(output.array) == 1 else data


def event(data: bytes) -> bytes:
    """A JSON document as one server-sent event."""
    return b"data: " + data + b"\n\n"
