"""BYTES tensors on the wire: a 4-byte little-endian length before every element (protocol §2.11).

Elements are `bytes`. Where a backend takes text, those of known requests, and the answers to them, are `str` instead.

Many elements are cut and joined at once: with a separator in place of each length they are one text. Where the lengths
are is told by NULs, which are in lengths, and in elements only if these are unusual.
"""

import struct
import sys
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from despina.errors import InvalidArgument
from despina.protocol.messages import Array

T = TypeVar("T", bytes, str)

_LENGTH = struct.Struct("<I")
_ELEMENT_BYTES = sys.getsizeof(b"")
_REFERENCE_BYTES = np.dtype(object).itemsize
_SEPARATOR = b"\0\0\0\0"
_GAP = "\0   "
"""Has the place of a length in what is to be written."""

MANY = 64
"""From so many elements on, looking at all of them at once takes less time than one after the other."""
_MANY_ASCII = 128
"""The same for writing ASCII texts."""
_ASCII_LENGTHS = tuple([chr(length) + "\0\0\0" for length in range(128)])
"""Those that are ASCII as well, as text."""
_MOST_BYTES = 4 + 255
"""Of a short element, with its length."""
_NULS_SUFFICE = 1 << 24
"""Bytes. The length of a shorter element ends with a NUL."""


def decode(data: bytes | memoryview, count: int, name: str, model: str, label: str) -> Array:
    """The flat object array of the `count` elements in `data`. Raises InvalidArgument with the texts of protocol §2.7
    when there are more or fewer, or when one is cut short."""
    raw = bytes(data)
    separated = _separated(raw, count) if count >= MANY else None
    if separated is not None:
        return np.fromiter(bytes(separated).split(_SEPARATOR), np.object_, count)
    elements = _cut(raw, raw, count)
    if elements is None:
        raise _refusal(raw, count, name, model, label)
    return np.fromiter(elements, np.object_, count)


def decode_texts(raw: bytes, count: int) -> list[str] | None:
    """The `count` elements in `raw` as text. None when there are more or fewer, or anything but UTF-8: what is to be
    done then is for `decode` to say."""
    try:
        separated = _separated(raw, count) if count >= MANY else None
        if separated is not None:
            return str(separated, "utf-8").split("\0\0\0\0")
        if raw.isascii():
            return _cut(raw, raw.decode(), count)
        elements = _cut(raw, raw, count)
        return list(map(bytes.decode, elements)) if elements is not None else None
    except UnicodeDecodeError:
        return None


def _separated(raw: bytes, count: int) -> memoryview | None:
    """`raw` with a separator in place of each length but the first, which is left out. None unless these are `count`
    short elements."""
    if len(raw) > count * _MOST_BYTES:
        return None
    written = bytearray(raw)
    wire = np.frombuffer(written, np.uint8)
    is_nul = np.logical_not(wire)
    if np.count_nonzero(is_nul) != 3 * count:
        return None
    # A length that has three begins right before them.
    starts = (is_nul[1:] > is_nul[:-1]).nonzero()[0]
    if starts.size != count or starts[0] or starts[-1] > wire.size - 4:
        return None
    lengths = _numbers_anywhere(wire)[starts]
    # Those of 16 MiB and more may have fewer NULs, and others are there for them in elements that begin with some.
    if wire.size > _NULS_SUFFICE and lengths.max() >= _NULS_SUFFICE:
        return None
    ends = starts + lengths
    ends += 4
    # As bytes they are compared in a fifth of the time.
    if ends[-1] != wire.size or ends[:-1].tobytes() != starts[1:].tobytes():
        return None
    wire[starts] = 0
    return memoryview(written)[4:]


def _numbers_anywhere(wire: Array) -> NDArray[np.uint32]:
    """The 4-byte numbers that begin at each byte of `wire`, which has four bytes or more."""
    return np.ndarray(wire.size - 3, "<u4", wire, 0, 1)


def _cut(raw: bytes, source: T, count: int) -> list[T] | None:
    """The pieces of `source`, which is `raw` or the same as text, that are elements. None unless there are `count`."""
    elements: list[T] = []
    end, length_at = 0, _LENGTH.unpack_from
    try:
        for _ in range(count):
            start = end + 4
            end = start + length_at(raw, end)[0]
            elements.append(source[start:end])
    except struct.error:
        return None
    return elements if end == len(raw) else None


def checked(elements: list[bytes], count: int, name: str, model: str, label: str) -> Array:
    """`elements` as a flat object array. Raises InvalidArgument unless there are `count`."""
    if len(elements) < count:
        raise _too_few(len(elements), count, name, model, label)
    if len(elements) > count:
        raise _too_many(count, name, model, label)
    return np.fromiter(elements, np.object_, count)


def _refusal(raw: bytes, count: int, name: str, model: str, label: str) -> InvalidArgument:
    """Why there are not `count` elements in `raw`."""
    found = position = 0
    end = len(raw)
    while position < end:
        if end - position < _LENGTH.size:
            return InvalidArgument(
                f"{label}incomplete string length indicator for inference input '{name}' for model '{model}', "
                f"expecting 4 bytes but only {end - position} bytes available. Please make sure the string length "
                "indicator is in one buffer."
            )
        if found == count:
            return _too_many(count, name, model, label)
        (length,) = _LENGTH.unpack_from(raw, position)
        position += _LENGTH.size
        found += 1
        if end - position < length and found == count:
            return InvalidArgument(
                f"incomplete string data for inference input '{name}', expecting string of length {length} but only "
                f"{end - position} bytes available"
            )
        position += length
    return _too_few(found, count, name, model, label)


def _too_few(found: int, count: int, name: str, model: str, label: str) -> InvalidArgument:
    return InvalidArgument(
        f"{label}expected {count} string elements for inference input '{name}' for model '{model}', got {found}"
    )


def _too_many(count: int, name: str, model: str, label: str) -> InvalidArgument:
    return InvalidArgument(
        f"{label}unexpected number of string elements {count + 1} for inference input '{name}' for model '{model}', "
        f"expecting {count}"
    )


def encode(array: Array) -> bytes:
    """The wire form of an object array of `bytes` or of `str`."""
    elements: list[Any] = array.ravel().tolist()
    count = len(elements)
    is_text = is_texts(elements)
    # The first one tells what the others probably are.
    if is_text and count < _MANY_ASCII and elements[0].isascii():
        wire = _ascii_wire(elements)
        if wire is not None:
            return wire
    if count >= MANY:
        joined = _GAP.join(["", *elements]).encode() if is_text else _GAP.encode().join([b"", *elements])
        wire = _with_lengths(joined, count)
        if wire is not None:
            return wire
    pieces: list[bytes] = []
    for element in map(str.encode, elements) if is_text else elements:
        pieces.append(_LENGTH.pack(len(element)))
        pieces.append(element)
    return b"".join(pieces)


def _ascii_wire(texts: list[str]) -> bytes | None:
    """The wire form of ASCII texts of less than 128 characters; None for others."""
    try:
        wire = "".join([_ASCII_LENGTHS[len(text)] + text for text in texts])
    except IndexError:
        return None
    return wire.encode() if wire.isascii() else None


def _with_lengths(joined: bytes, count: int) -> bytes | None:
    """`joined`, which has a gap before each of `count` elements, with their lengths instead. None if one has a NUL, or
    if they are so long that one after the other takes less time."""
    if len(joined) > count * _MOST_BYTES:
        return None
    wire = np.frombuffer(bytearray(joined), np.uint8)
    starts = np.logical_not(wire).nonzero()[0]
    if starts.size != count:
        return None
    lengths = np.empty(count, np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = wire.size - starts[-1]
    lengths -= 4
    _numbers_anywhere(wire)[starts] = lengths
    return wire.tobytes()


def is_texts(elements: list[Any]) -> bool:
    """Whether the elements of a BYTES tensor are `str`; an empty one may be either."""
    return bool(elements) and type(elements[0]) is str


def held_beside(count: int) -> int:
    """What `count` elements take in memory beside the bytes of their wire form."""
    return count * (_REFERENCE_BYTES + _ELEMENT_BYTES - _LENGTH.size)


def held_bytes(array: Array) -> int:
    """What a tensor of any datatype takes in memory, with its texts if it has any; those that are `str` count like the
    `bytes` they came as."""
    if not array.dtype.hasobject:
        return array.nbytes
    elements: list[Any] = array.ravel().tolist()
    # Joining texts takes a quarter of asking each for its length.
    size = len("".join(elements).encode()) if is_texts(elements) else sum(map(len, elements))
    return array.nbytes + array.size * _ELEMENT_BYTES + size
