"""Where the tensors of a batch lie in the memory that a server and the process of an instance share.

There are two places, each with room for every input and output of the largest batch: while one batch runs, the next one
is put down. So only tensors whose size is known beforehand can cross.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from mmap import mmap

import numpy as np

from despina_backends.base import Array, TensorMetadata
from despina_backends.dtypes import numpy_dtype

PLACES = 2
MAX_PLACE_BYTES = 4 * 1024 * 1024
"""Larger batches take so long to run, or to copy, that a process of their own gains nothing."""

MAX_OUTPUTS = 64
"""A message has one bit for each (`messages.RUN`)."""

_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class BatchTensors:
    """Inputs and outputs of executions with up to `rows` rows; all shapes are known but for the first dimension."""

    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    rows: int

    @property
    def place_bytes(self) -> int:
        """Size of one place."""
        return sum(self._size(tensor) for tensor in (*self.inputs, *self.outputs))

    def _size(self, tensor: TensorMetadata) -> int:
        size = self.rows * prod(tensor.shape[1:]) * numpy_dtype(tensor).itemsize
        return -(-size // _ALIGNMENT) * _ALIGNMENT

    def views(self, memory: mmap) -> "tuple[Place, ...]":
        """The places in memory of at least `PLACES * place_bytes` bytes."""
        return tuple(self._place(memory, number * self.place_bytes) for number in range(PLACES))

    def _place(self, memory: mmap, offset: int) -> "Place":
        arrays: list[Array] = []
        for tensor in (*self.inputs, *self.outputs):
            arrays.append(np.ndarray((self.rows, *tensor.shape[1:]), numpy_dtype(tensor), memory, offset))
            offset += self._size(tensor)
        names = [tensor.name for tensor in (*self.inputs, *self.outputs)]
        count = len(self.inputs)
        return Place(
            dict(zip(names[:count], arrays[:count], strict=True)), dict(zip(names[count:], arrays[count:], strict=True))
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one batch, as arrays with as many rows as the largest has."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def batch_tensors(
    inputs: Sequence[TensorMetadata], outputs: Sequence[TensorMetadata], rows: int
) -> BatchTensors | None:
    """None when the tensors cannot cross: of unknown size, without a batch dimension, optional, text, or too large."""
    tensors = (*inputs, *outputs)
    if not rows or len(outputs) > MAX_OUTPUTS or any(not _crosses(tensor) for tensor in tensors):
        return None
    found = BatchTensors(tuple(inputs), tuple(outputs), rows)
    return found if found.place_bytes <= MAX_PLACE_BYTES else None


def _crosses(tensor: TensorMetadata) -> bool:
    return tensor.datatype != "BYTES" and not tensor.optional and -1 not in tensor.shape[1:]
