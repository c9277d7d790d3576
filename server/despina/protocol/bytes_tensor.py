"""BYTES tensors on the wire: a 4-byte little-endian length before every element (protocol §2.11)."""

import struct
import sys

import numpy as np

from despina.errors import InvalidArgument
from despina.protocol.messages import Array

_LENGTH = struct.Struct("<I")
_ELEMENT_BYTES = sys.getsizeof(b"")


def decode(data: memoryview, count: int, name: str, model: str, label: str) -> Array:
    """The flat object array of the `count` elements in `data`. Raises InvalidArgument with the texts of protocol §2.7
    when there are more or fewer, or when one is cut short."""
    raw = bytes(data)
    elements: list[bytes] = []
    position = 0
    end = len(raw)
    while position < end:
        if len(elements) == count:
            raise _too_many(count, name, model, label)
        if end - position < _LENGTH.size:
            raise InvalidArgument(
                f"{label}incomplete string length indicator for inference input '{name}' for model '{model}', "
                f"expecting 4 bytes but only {end - position} bytes available. Please make sure the string length "
                "indicator is in one buffer."
            )
        (length,) = _LENGTH.unpack_from(raw, position)
        position += _LENGTH.size
        elements.append(raw[position : position + length])
        if len(elements[-1]) < length and len(elements) == count:
            raise InvalidArgument(
                f"incomplete string data for inference input '{name}', expecting string of length {length} but only "
                f"{end - position} bytes available"
            )
        position += length
    return checked(elements, count, name, model, label)


def checked(elements: list[bytes], count: int, name: str, model: str, label: str) -> Array:
    """`elements` as a flat object array. Raises InvalidArgument unless there are `count`."""
    if len(elements) < count:
        raise InvalidArgument(
            f"{label}expected {count} string elements for inference input '{name}' for model '{model}', got "
            f"{len(elements)}"
        )
    if len(elements) > count:
        raise _too_many(count, name, model, label)
    array = np.empty(count, object)
    array[:] = elements
    return array


def _too_many(count: int, name: str, model: str, label: str) -> InvalidArgument:
    return InvalidArgument(
        f"{label}unexpected number of string elements {count + 1} for inference input '{name}' for model '{model}', "
        f"expecting {count}"
    )


def encode(array: Array) -> bytes:
    """The wire form of an object array of `bytes`."""
    pieces: list[bytes] = []
    elements: list[bytes] = array.ravel().tolist()
    for element in elements:
        pieces.append(_LENGTH.pack(len(element)))
        pieces.append(element)
    return b"".join(pieces)


def held_bytes(array: Array) -> int:
    """What a tensor of any datatype takes in memory, with its texts if it has any."""
    if not array.dtype.hasobject:
        return array.nbytes
    return array.nbytes + array.size * _ELEMENT_BYTES + sum(map(len, array.ravel().tolist()))
