"""The classification extension: a tensor of scores into its best classes (protocol §3.3)."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from despina.errors import InvalidArgument
from despina.protocol.json import encode_string
from despina.protocol.messages import Array

MAX_CLASSES = 1_000_000
UNSUPPORTED = frozenset({"BOOL", "FP16", "BF16", "BYTES"})

_INSERTED = 16
"""So many elements are sorted by insertion on the real server."""

_SORTED_WHOLE = 128
"""So many elements are sorted as quickly as the best of them are picked out."""


def classify(array: Array, datatype: str, count: int, labels: list[str], batches: bool) -> Array:
    """The `count` best classes of every batch entry as an object array of `bytes`, shape [batch, k] or [k].

    Each is `value:index` or `value:index:label`, best first, of equal ones the first; k is `count` or the number of
    elements per entry if that is smaller. Raises InvalidArgument for datatypes that cannot be ranked.
    """
    if datatype in UNSUPPORTED:
        raise InvalidArgument(f"class result not available for output due to unsupported type '{datatype}'")
    batched = batches and array.ndim > 0
    entries = array.reshape(len(array), prod(array.shape[1:])) if batched else array.reshape(1, -1)
    if entries.shape[1] > MAX_CLASSES:
        raise InvalidArgument("classification output tensor too large")
    count = min(count, entries.shape[1])
    result = np.empty((len(entries), count), object)
    for row, values in enumerate(entries):
        best: list[int] = _best(values, count).tolist()
        numbers = values[best].tolist()
        if count and numbers[0] != numbers[0] and len(values) <= _INSERTED:
            best = _inserted(values.tolist())[:count]
            numbers = values[best].tolist()
        result[row] = [_class(value, index, labels) for value, index in zip(numbers, best, strict=True)]
    return result if batched else result[0]


def _inserted(values: list[float]) -> list[int]:
    """The indices of values with a NaN among them, in the order in which the real server has them: that of an insertion
    sort, for which a NaN is neither smaller nor larger than its neighbour."""
    order: list[int] = []
    for index, value in enumerate(values):
        place = 0
        if order and not value > values[order[0]]:
            place = len(order)
            while value > values[order[place - 1]]:
                place -= 1
        order.insert(place, index)
    return order


def _best(values: Array, count: int) -> NDArray[np.intp]:
    """The indices of the `count` largest values, the largest first, of equal ones the first. NaN is larger than all."""
    size = len(values)
    if size <= _SORTED_WHOLE or count >= size:
        return _sorted(values)[:count]
    smallest = np.partition(values, size - count)[size - count]
    # Everything if that is NaN, and more than `count` where several are equal.
    candidates = np.flatnonzero(~(values < smallest))
    return candidates[_sorted(values[candidates])[:count]]


def _sorted(values: Array) -> NDArray[np.intp]:
    return len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]


def _class(value: float, index: int, labels: list[str]) -> bytes:
    number = f"{value:.6f}" if isinstance(value, float) else str(value)
    label = labels[index] if index < len(labels) else ""
    text = f"{number}:{index}:{label}" if label else f"{number}:{index}"
    return encode_string(text)
