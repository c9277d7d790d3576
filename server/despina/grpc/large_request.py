"""A large ModelInferRequest, of which the raw contents stay where they are.

protobuf copies them twice: 600 kB take 20 µs, to find them here takes 1 µs, whatever their size.
"""

from collections.abc import Iterator

from despina.grpc.messages import message_class, parse
from despina.grpc.method import Message

LARGE = 32768
"""Bytes of a message from which on this pays."""

MAX_FIELDS = 256
"""Of a message with more, each is small, and protobuf is faster."""

_RAW_INPUT_CONTENTS = 7 << 3 | 2
_LENGTH_DELIMITED = 2
_SHORT = 0x80
"""Tags and the last byte of a length are below."""

_Request = message_class("ModelInferRequest")


def parse_request(data: bytes | memoryview) -> tuple[Message, list[memoryview] | None]:
    """The serialized ModelInferRequest in `data`. If it is large, without its raw contents, which are views of `data`
    then, so that this must stay untouched until the request is answered. Raises Internal."""
    if len(data) >= LARGE:
        parts = _parts(memoryview(data))
        if parts is not None:
            head, raw = parts
            return parse(_Request, b"".join(head)), raw
    return parse(_Request, data), None


def _parts(data: memoryview) -> tuple[list[memoryview], list[memoryview]] | None:
    """What is around the raw contents, and these. None where it is for protobuf to say what `data` is."""
    head: list[memoryview] = []
    raw: list[memoryview] = []
    kept = 0
    try:
        for tag, position, start, end in _fields(data):
            if tag == _RAW_INPUT_CONTENTS:
                head.append(data[kept:position])
                raw.append(data[start:end])
                kept = end
    except IndexError:
        return None
    head.append(data[kept:])
    return head, raw


def _fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The tag of every field, where it is, and where its value starts and ends. Raises IndexError when these are not a
    few texts and messages with tags of one byte."""
    position = 0
    for _ in range(MAX_FIELDS):
        if position == len(data):
            return
        tag = data[position]
        start, size = _length(data, position + 1)
        end = start + size
        if tag & 7 != _LENGTH_DELIMITED or tag >= _SHORT or end > len(data):
            break
        yield tag, position, start, end
        position = end
    raise IndexError


def _length(data: memoryview, position: int) -> tuple[int, int]:
    """Where what follows the length at `position` begins, and the length. Raises IndexError when it is cut short, or
    longer than that of any message."""
    size = 0
    for shift in range(0, 35, 7):
        byte = data[position]
        position += 1
        size |= (byte & 0x7F) << shift
        if byte < _SHORT:
            return position, size
    raise IndexError
