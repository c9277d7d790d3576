"""The JSON before binary tensors without their sizes: where there are texts, these differ from request to request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from despina.errors import DespinaError
from despina.protocol.json import loads, loads_first_wins
from despina.protocol.messages import Array
from despina.protocol.plain_texts import PlainTexts

if TYPE_CHECKING:
    from despina.http.request_template import InputTemplate

_KEY = b'"binary_data_size":'
_SIZE = re.compile(_KEY + rb" ?(0|[1-9]\d{0,17})")


def split_at_sizes(text: bytes) -> tuple[tuple[bytes, ...], list[int]]:
    """What is before, between and behind the sizes, and these."""
    pieces = _SIZE.split(text)
    return tuple(pieces[::2]), list(map(int, pieces[1::2]))


def holds_the_sizes(pieces: tuple[bytes, ...]) -> bool:
    """Whether the sizes that were cut out are those of the inputs, all of them, in order, and nothing else. Told by
    parsing the document with other numbers in their places."""
    text = pieces[0] + b"".join([b"%b%d%b" % (_KEY, *numbered) for numbered in enumerate(pieces[1:])])
    try:
        document = loads(text)
        if document != loads_first_wins(text):
            return False
        sizes = [entry["parameters"].get("binary_data_size") for entry in document["inputs"]]
        return sizes == list(range(len(pieces) - 1))
    except (DespinaError, AttributeError, KeyError, TypeError, RecursionError):
        return False


def cut(inputs: Sequence[InputTemplate], data: memoryview, sizes: Sequence[int]) -> dict[str, Array] | None:
    """The inputs that lie in `data` one after the other, each of so many bytes. None when they are not as they should
    be."""
    if len(inputs) == 1:
        array = _array(inputs[0], data) if sizes[0] == len(data) else None
        return {inputs[0].name: array} if array is not None else None
    arrays: dict[str, Array] = {}
    position = 0
    for item, size in zip(inputs, sizes, strict=True):
        array = _array(item, data[position : position + size])
        if array is None:
            return None
        arrays[item.name] = array
        position += size
    return arrays if position == len(data) else None


def _array(item: InputTemplate, data: memoryview) -> Array | None:
    if isinstance(item.plain, PlainTexts):
        texts = item.plain.cut(bytes(data))
        return texts.reshape(item.shape) if texts is not None else None
    if len(data) != item.count * item.dtype.itemsize:
        return None
    return np.ndarray(item.shape, item.dtype, data)
