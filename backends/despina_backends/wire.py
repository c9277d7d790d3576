"""The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding/), as far as is needed to find
the fields of a message that have a length: ONNX models are such messages, and need not be read as a whole."""

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}


class DelimitedField(NamedTuple):
    """A field's number, where it starts in the message, and where its content begins and ends, with which it ends, too.
    A plain tuple: each request may make several."""

    number: int
    start: int
    begin: int
    end: int


def delimited_fields(message: memoryview | mmap) -> Iterator[DelimitedField]:
    """The fields of the outermost level that have a length.

    Raises:
        IndexError: the last field does not end with the message.
        ValueError: this is no message.
    """
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field with number 0")
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(message, position)
            yield DelimitedField(number, start, position, position + length)
            position += length
        elif wire_type == _VARINT:
            _, position = _varint(message, position)
        elif wire_type in _FIXED_SIZES:
            position += _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"wire type {wire_type}")
    if position > len(message):
        raise IndexError


def _varint(message: memoryview | mmap, position: int) -> tuple[int, int]:
    """Its value, and where it ends; ten bytes at most."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("an integer of more than ten bytes")
