"""From the parts of an input, one per request, to the one array a session takes.

A single part is passed on as it is, however large, unless the buffer is pinned: a GPU reads ordinary memory only by way
of pinned copies that the driver makes piece by piece while the run waits. Several parts are copied side by side into a
buffer that is kept for the next batch, so that large batches do not page-fault through fresh memory every time. The
buffer grows to the largest batch seen and follows the inner shape where that varies. One `np.concatenate(out=...)` beat
a loop of `np.copyto` 2.3 to 9.3 µs for 16 rows of 256 floats.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from despina_backends.base import Array, TensorMetadata
from despina_backends.dtypes import numpy_dtype
from despina_backends.onnxruntime.memory import Allocator


class Staging:
    """The place of one input of one instance."""

    __slots__ = ("_allocator", "_buffer", "_dtype", "_keeps_single", "_scalar", "_storage")

    def __init__(self, tensor: TensorMetadata, allocator: Allocator) -> None:
        self._dtype = numpy_dtype(tensor)
        self._scalar = tensor.shape == ()
        self._keeps_single = self._scalar or self._dtype.hasobject or not allocator.pinned
        self._allocator = allocator
        self._storage = allocator.bytes(0)
        self._buffer: Array = np.empty(0, self._dtype)

    def gather(self, parts: Sequence[Array], rows: int) -> Array:
        """The parts as one aligned C-contiguous array, valid until the next call.

        The parts are arrays of the input's dtype, equal but for their first dimension, which add up to `rows`.
        """
        first = parts[0]
        if len(parts) == 1 and (self._keeps_single or not first.ndim):
            if self._scalar and first.size == 1:
                first = first.reshape(())
            flags = first.flags
            # Kernels are compiled for elements at their natural alignment; a client chooses that of its own tensors.
            return first if flags.c_contiguous and flags.aligned else first.copy()
        if len(parts) == 1:
            # Without a batch dimension `rows` says nothing.
            rows = first.shape[0]
        buffer = self._buffer
        if buffer.shape[1:] != first.shape[1:] or buffer.shape[0] < rows:
            buffer = self.rows(rows, first.shape[1:])
        return np.concatenate(parts, out=buffer[:rows])

    def rows(self, rows: int, inner: tuple[int, ...]) -> Array:
        """The buffer, with room for at least `rows` rows of shape `inner`; reallocated only to grow."""
        if self._dtype.hasobject:
            self._buffer = np.empty((rows, *inner), self._dtype)
            return self._buffer
        row_bytes = prod(inner) * self._dtype.itemsize
        if self._storage.size < rows * row_bytes:
            outgrown = self._storage
            self._buffer, self._storage = np.empty(0, self._dtype), np.empty(0, np.uint8)
            self._allocator.free(outgrown)
            self._storage = self._allocator.bytes(_power_of_two(rows) * row_bytes)
        capacity = self._storage.size // row_bytes if row_bytes else rows
        self._buffer = self._storage[: capacity * row_bytes].view(self._dtype).reshape(capacity, *inner)
        return self._buffer


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length() if count > 0 else 0
