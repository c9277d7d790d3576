"""The `data` of a JSON tensor into a flat numpy array (protocol §2.6).

Nesting is not compared with the shape, only the number of elements is. Integers wrap into narrower types as C casts
do; floats are never taken for integers, booleans never for numbers.
"""

from contextvars import copy_context
from itertools import chain

import numpy as np

from despina.errors import Internal, InvalidArgument
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.fields import read_field
from despina.protocol.json import Json, as_array, encode_string
from despina.protocol.messages import Array

_PARSED = {"bool": np.bool_, "unsigned": np.uint64, "signed": np.int64, "float": np.float64}
"""What numbers in JSON are before they become those of a datatype."""

as_in_c = copy_context()
"""Here numpy does not warn of what FP32 cannot hold: it becomes infinity. `np.errstate` would take 0.5 µs a time. For
the event loop's thread alone."""
as_in_c.run(np.seterr, over="ignore")

MAX_DEPTH = 100
BLOCK = 256
MISMATCH = "Unable to parse 'data': Shape does not match true shape of 'data' field"

_WRONG_TYPE = {
    "bool": (frozenset({bool}), "non-boolean as boolean"),
    "unsigned": (frozenset({int}), "non-unsigned-integer as unsigned-integer"),
    "signed": (frozenset({int}), "non-signed-integer as signed-integer"),
    "float": (frozenset({int, float}), "non-number as double"),
}


def from_json(data: Json, name: str, datatype_name: str, count: int) -> Array:
    """The flat array of `count` elements that `data` spells. Raises Internal for wrong JSON types or counts,
    InvalidArgument for datatypes that JSON cannot carry. BYTES may come back longer or shorter than `count`."""
    elements = elements_of(data)
    datatype = DATATYPES.get(datatype_name)
    if datatype is None:
        raise InvalidArgument(f"invalid datatype for input {name}")
    if datatype.kind == "half":
        raise InvalidArgument(
            f"receiving {datatype_name} data via JSON is not supported. Please use the binary data format for input "
            f"{name}"
        )
    prefix = "" if datatype.kind == "bytes" else "Unable to parse 'data': "
    flat, types = flatten(elements, prefix)
    if datatype.kind == "bytes":
        return _bytes_array(flat)
    return _number_array(flat, types, datatype, count)


def elements_of(data: Json) -> list[Json]:
    """`data`, which has to be an array. Raises Internal."""
    return read_field("data", as_array, data)


def serialized_size(strings: Array) -> int:
    """Of a BYTES tensor, in bytes: each element comes after its length in 4 bytes."""
    return 4 * strings.size + sum(map(len, strings.tolist()))


def flatten(data: list[Json], prefix: str, depth: int = 1) -> tuple[list[Json], set[type]]:
    """The elements of arbitrarily nested lists, in order, and the types among them. Raises InvalidArgument beyond
    MAX_DEPTH levels; its text begins with `prefix`. `data` is at level `depth`."""
    while list in (types := set(map(type, data))):
        depth += 1
        if depth >= MAX_DEPTH:
            raise InvalidArgument(f"{prefix}JSON nesting depth exceeds maximum allowed limit ({MAX_DEPTH})")
        if len(types) == 1:
            data = list(chain.from_iterable(data))
        else:
            data = list(chain.from_iterable(item if type(item) is list else (item,) for item in data))
        if len(data) > BLOCK:
            return _flatten_blocks(data, prefix, depth)
    return data, types


def _flatten_blocks(data: list[Json], prefix: str, depth: int) -> tuple[list[Json], set[type]]:
    """Block by block down to the elements: lists within a list lie side by side in memory, and those of a whole level
    far apart."""
    flat: list[Json] = []
    types: set[type] = set()
    for start in range(0, len(data), BLOCK):
        elements, among = flatten(data[start : start + BLOCK], prefix, depth)
        flat += elements
        types |= among
    return flat, types


def _number_array(flat: list[Json], types: set[type], datatype: Datatype, count: int) -> Array:
    allowed, complaint = _WRONG_TYPE[datatype.kind]
    if not types <= allowed and not allowed.issuperset(map(type, flat[:count])):
        raise Internal(f"Unable to parse 'data': attempt to access JSON {complaint}")
    try:
        array = c_cast(np.array(flat[:count], _PARSED[datatype.kind]), datatype.dtype)
    except OverflowError:
        raise Internal(f"Unable to parse 'data': attempt to access JSON {complaint}") from None
    if len(flat) > count:
        raise Internal(MISMATCH)
    if len(flat) < count:
        raise Internal("Failed to parse 'data' field: shape does not match true shape")
    return array


def c_cast(numbers: Array, dtype: np.dtype[np.generic]) -> Array:
    """What C makes of numbers in a narrower type: integers wrap, and what a float cannot hold becomes infinity."""
    return as_in_c.run(numbers.astype, dtype, copy=False)


def _bytes_array(flat: list[Json]) -> Array:
    try:
        elements = _encoded(flat)
    except (AttributeError, TypeError):
        raise Internal("Unable to parse JSON bytes array: attempt to access JSON non-string as string") from None
    return np.fromiter(elements, np.object_, len(elements))


def _encoded(strings: list[Json]) -> list[bytes]:
    try:
        return list(map(str.encode, strings))
    except UnicodeEncodeError:
        return [encode_string(item) for item in strings]
