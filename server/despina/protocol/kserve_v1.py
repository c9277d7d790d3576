"""The predict protocol KServe calls v1: rows as `instances` or whole columns as `inputs`, and `predictions` back.

Unlike v2 it says neither datatypes nor shapes: both come from the model. In row format every instance is one row of the
batch; a model with several inputs gets objects with one member per input, one with several outputs gives such objects.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from despina.errors import InvalidArgument
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.garbage_collector import collector_rests
from despina.protocol.json import Json, encode_string, loads
from despina.protocol.messages import Array, InferInput, InferRequest, OutputTensor
from despina.protocol.tensor_data import c_cast, flatten

Format = Literal["instances", "inputs"]


@dataclass(frozen=True, slots=True)
class V1Input:
    """What a model says about one of its inputs; `dims` without the batch dimension, -1 is variable."""

    datatype: str
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class V1Request:
    """A decoded predict request and what its answer depends on: the format, and the number of instances."""

    infer: InferRequest
    format: Format
    rows: int


@collector_rests
def read_request(body: bytes, model: str, inputs: Mapping[str, V1Input], batches: bool) -> V1Request:
    """Decode a predict request. Raises InvalidArgument, or Internal when it is not JSON."""
    document = loads(body)
    given = [key for key in ("instances", "inputs") if isinstance(document, dict) and key in document]
    if len(given) != 1:
        raise InvalidArgument(
            f"request for model '{model}' must have either 'instances' (rows) or 'inputs' (columns), got "
            + ("both" if given else "neither")
        )
    if given == ["instances"]:
        rows = document["instances"]
        if not isinstance(rows, list) or not rows:
            raise InvalidArgument(f"'instances' for model '{model}' must be a list of at least one row")
        tensors = [
            _tensor(model, name, inputs[name], column, batches, len(rows))
            for name, column in _columns_of_rows(model, rows, inputs).items()
        ]
        return V1Request(InferRequest(inputs=tensors), "instances", len(rows))
    columns = _named(model, document["inputs"], inputs, "'inputs'")
    tensors = [_tensor(model, name, inputs[name], column, batches, None) for name, column in columns.items()]
    return V1Request(InferRequest(inputs=tensors), "inputs", 0)


def _columns_of_rows(model: str, rows: list[Json], inputs: Mapping[str, V1Input]) -> dict[str, list[Json]]:
    first = _named(model, rows[0], inputs, "an instance")
    columns: dict[str, list[Json]] = {name: [] for name in first}
    for row in rows:
        members = _named(model, row, inputs, "an instance")
        if members.keys() != first.keys():
            raise InvalidArgument(
                f"instances for model '{model}' differ: expected inputs {sorted(first)}, got {sorted(members)}"
            )
        for name, value in members.items():
            columns[name].append(value)
    return columns


def _named(model: str, value: Json, inputs: Mapping[str, V1Input], what: str) -> dict[str, Json]:
    """Values by input. A model with one input takes the bare value, too."""
    if isinstance(value, dict) and not _is_encoded(value):
        unknown = sorted(value.keys() - inputs.keys())
        if unknown:
            raise InvalidArgument(f"unexpected inference input '{unknown[0]}' for model '{model}'")
        return value
    required = [name for name, described in inputs.items() if not described.optional] or list(inputs)
    if len(required) != 1:
        raise InvalidArgument(
            f"{what} for model '{model}' must be an object with the inputs {sorted(required)}, got a bare value"
        )
    return {required[0]: value}


def _is_encoded(value: Json) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


# ------------------------------------------------------------------------------------------------------- tensors


def _tensor(model: str, name: str, described: V1Input, value: Json, batches: bool, rows: int | None) -> InferInput:
    datatype = DATATYPES[described.datatype]
    array = _bytes_array(model, name, value) if datatype.kind == "bytes" else _numbers(model, name, value, datatype)
    shape = _fit(array.shape, described.dims, batches, rows)
    return InferInput(name, datatype.name, shape, array.reshape(-1))


_KINDS = {"bool": "b", "unsigned": "iu", "signed": "iu", "float": "iuf", "half": "iuf"}


def _numbers(model: str, name: str, value: Json, datatype: Datatype) -> Array:
    if datatype.name == "BF16":
        raise InvalidArgument(f"input '{name}' for model '{model}' is BF16, which this protocol cannot carry")
    if str in _types(value):  # Numpy would give every number as much room as the longest text has.
        raise InvalidArgument(f"input '{name}' for model '{model}' expects {datatype.name} values")
    try:
        array = np.array(value)
    except ValueError:
        raise InvalidArgument(f"input '{name}' for model '{model}' is not rectangular: rows differ in length") from None
    if datatype.kind == "unsigned" and array.dtype.kind == "f":
        array = _exact(value, array)
    if array.size and array.dtype.kind not in _KINDS[datatype.kind]:
        raise InvalidArgument(f"input '{name}' for model '{model}' expects {datatype.name} values")
    converted = c_cast(array, datatype.dtype)
    if datatype.kind in ("unsigned", "signed") and not np.array_equal(converted, array):
        raise InvalidArgument(f"input '{name}' for model '{model}' has values that {datatype.name} cannot hold")
    return converted


def _types(value: Json) -> set[type]:
    return flatten(value, "")[1] if isinstance(value, list) else {type(value)}


def _exact(value: Json, array: Array) -> Array:
    """Numpy makes floats of integers on both sides of 2**63."""
    elements = np.array(value, object)
    exact = all(type(element) is int and 0 <= element < 1 << 64 for element in elements.ravel().tolist())
    return elements.astype(np.uint64) if exact else array


def _bytes_array(model: str, name: str, value: Json) -> Array:
    strings = np.array(value, object)
    array = np.empty(strings.size, object)
    array[:] = [_element(model, name, element) for element in strings.ravel()]
    return array.reshape(strings.shape)


def _element(model: str, name: str, element: Json) -> bytes:
    if isinstance(element, str):
        return encode_string(element)
    if _is_encoded(element) and isinstance(element["b64"], str):
        try:
            return base64.b64decode(element["b64"], validate=True)
        except ValueError:  # binascii.Error is one, and so is what is no ASCII
            pass
    raise InvalidArgument(f"input '{name}' for model '{model}' expects strings, or objects {{\"b64\": \"...\"}}")


def _fit(shape: tuple[int, ...], dims: tuple[int, ...], batches: bool, rows: int | None) -> tuple[int, ...]:
    """The shape as the model has it, where that is a matter of dimensions of 1 only; else as it came."""
    if rows == 1 and not batches and len(shape) == len(dims) + 1:
        shape = shape[1:]
    head = shape[:1] if batches else ()
    rest = shape[len(head) :]
    fixed = -1 not in dims and prod(rest) == prod(dims) and _without_ones(rest) == _without_ones(dims)
    return head + dims if fixed and (head or not batches) else shape


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [dim for dim in shape if dim != 1]


# --------------------------------------------------------------------------------------------------- predictions


def predictions(request: V1Request, outputs: Sequence[OutputTensor], batches: bool) -> dict[str, Json]:
    """The answer: per row when the request came in rows and the outputs have them, else per output. One output stands
    for itself, several are an object."""
    values = {output.name: _nested(output) for output in outputs}
    if request.format == "inputs":
        return {"predictions": _only_or_all(values)}
    in_rows = all(output.array.shape[:1] == (request.rows,) for output in outputs)
    if in_rows and (batches or request.rows > 1):
        rows = [_only_or_all({name: column[row] for name, column in values.items()}) for row in range(request.rows)]
        return {"predictions": rows}
    if request.rows == 1:
        return {"predictions": [_only_or_all(values)]}
    return {"predictions": _only_or_all(values)}


def _only_or_all(values: dict[str, Json]) -> Json:
    return next(iter(values.values())) if len(values) == 1 else values


def _nested(output: OutputTensor) -> Json:
    array = output.array
    if output.datatype == "BYTES":
        decoded = np.empty(array.size, object)
        decoded[:] = [element.decode("utf-8", "surrogateescape") for element in array.ravel().tolist()]
        return decoded.reshape(array.shape).tolist()
    if output.datatype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if output.datatype in ("FP16", "FP32", "BF16"):
        array = array.astype(np.float64)
    return array.tolist()
