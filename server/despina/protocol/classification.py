"""The classification extension: a tensor of scores into its best classes (protocol §3.3)."""

from math import prod

import numpy as np

from despina.errors import InvalidArgument
from despina.protocol.json import encode_string
from despina.protocol.messages import Array

MAX_CLASSES = 1_000_000
UNSUPPORTED = frozenset({"BOOL", "FP16", "BF16", "BYTES"})


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
    best = entries.shape[1] - 1 - np.argsort(entries[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :count]
    result = np.empty(best.shape, object)
    for row, indices in enumerate(best):
        result[row] = [_class(entries[row, index], int(index), labels) for index in indices]
    return result if batched else result[0]


def _class(value: np.generic, index: int, labels: list[str]) -> bytes:
    number = f"{value:.6f}" if isinstance(value, np.floating) else str(value)
    label = labels[index] if index < len(labels) else ""
    text = f"{number}:{index}:{label}" if label else f"{number}:{index}"
    return encode_string(text)
