"""The `data` of a JSON tensor into a flat numpy array (protocol §2.6).

Nesting is not compared with the shape, only the number of elements is. Integers wrap into narrower types as C casts
do; floats are never taken for integers, booleans never for numbers.
"""

import struct
from itertools import chain

import numpy as np
import orjson
from numpy.typing import NDArray

from despina.errors import Internal, InvalidArgument
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.json import Json, encode_string
from despina.protocol.messages import Array

MAX_DEPTH = 100
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
    datatype = DATATYPES.get(datatype_name)
    if datatype is None:
        raise InvalidArgument(f"invalid datatype for input {name}")
    if datatype.kind == "half":
        raise InvalidArgument(
            f"receiving {datatype_name} data via JSON is not supported. Please use the binary data format for input "
            f"{name}"
        )
    if not isinstance(data, list):
        raise Internal("Unable to parse 'data': attempt to access JSON non-array as array")
    prefix = "" if datatype.kind == "bytes" else "Unable to parse 'data': "
    flat, types = flatten(data, prefix)
    if datatype.kind == "bytes":
        return _bytes_array(flat)
    return _number_array(flat, types, datatype, count)


class PlainNumbers:
    """Reads the text of an array that holds nothing but `count` numbers of one datatype, all of them in range: three
    times as fast as `from_json`, which has to find out what else there might be."""

    _MAX_DEPTH = 8

    @classmethod
    def of(cls, datatype_name: str, count: int) -> "PlainNumbers | None":
        """None for datatypes that are not numbers or not sent as JSON."""
        datatype = DATATYPES.get(datatype_name)
        if datatype is None or datatype.kind not in ("float", "signed", "unsigned"):
            return None
        # numpy's characters for these are struct's, with the same sizes.
        return cls(struct.Struct(f"{count}{datatype.dtype.char}"), datatype.dtype)

    def __init__(self, packing: struct.Struct, dtype: np.dtype[np.generic]) -> None:
        self._packing = packing
        self._dtype = dtype

    def read(self, text: bytes) -> Array | None:
        """The flat array, read-only; None when `text` is anything else, which is for `from_json` to judge."""
        if b"t" in text or b"f" in text:
            return None  # struct takes true and false for numbers
        try:
            data = orjson.loads(text)
            for _ in range(self._MAX_DEPTH):
                if type(data[0]) is not list:
                    break
                data = list(chain.from_iterable(data))
            return np.frombuffer(self._packing.pack(*data), self._dtype)
        except (struct.error, ValueError, TypeError, LookupError, OverflowError):
            return None


def flatten(data: list[Json], prefix: str) -> tuple[list[Json], set[type]]:
    """The elements of arbitrarily nested lists, in order, and the types among them. Raises InvalidArgument beyond
    MAX_DEPTH levels; its text begins with `prefix`."""
    depth = 1
    while list in (types := set(map(type, data))):
        depth += 1
        if depth >= MAX_DEPTH:
            raise InvalidArgument(f"{prefix}JSON nesting depth exceeds maximum allowed limit ({MAX_DEPTH})")
        if len(types) == 1:
            data = list(chain.from_iterable(data))
        else:
            data = list(chain.from_iterable(item if type(item) is list else (item,) for item in data))
    return data, types


def _number_array(flat: list[Json], types: set[type], datatype: Datatype, count: int) -> Array:
    allowed, complaint = _WRONG_TYPE[datatype.kind]
    if not types <= allowed and not allowed.issuperset(map(type, flat[:count])):
        raise Internal(f"Unable to parse 'data': attempt to access JSON {complaint}")
    if len(flat) > count:
        raise Internal(MISMATCH)
    try:
        array = _convert(flat, datatype)
    except OverflowError:
        raise Internal(f"Unable to parse 'data': attempt to access JSON {complaint}") from None
    if len(flat) < count:
        raise Internal("Failed to parse 'data' field: shape does not match true shape")
    return array


def _convert(flat: list[Json], datatype: Datatype) -> Array:
    if datatype.kind == "unsigned":
        return np.array(flat, np.uint64).astype(datatype.dtype)
    if datatype.kind == "signed":
        return np.array(flat, np.int64).astype(datatype.dtype)
    if datatype.name == "FP32":
        return _narrow(np.array(flat, np.float64))
    return np.array(flat, datatype.dtype)


def _narrow(doubles: NDArray[np.float64]) -> NDArray[np.float32]:
    """What a C cast makes of doubles: infinity where a float has no such number."""
    with np.errstate(over="ignore"):
        return doubles.astype(np.float32)


def _bytes_array(flat: list[Json]) -> Array:
    array = np.empty(len(flat), object)
    try:
        array[:] = [encode_string(item) for item in flat]
    except (AttributeError, TypeError):
        raise Internal("Unable to parse JSON bytes array: attempt to access JSON non-string as string") from None
    return array
