"""Shape buckets: inputs of variable length, padded to the next of a few sizes so that they can share a batch.

Requests of different lengths may not be batched, and on a GPU every new length is tuned for once more. A model whose
parameters name sizes for an input gets neither: a request counts as large as its bucket (`BucketedRequests`), the batch
is padded on the instance's thread while it is gathered (`PaddingInstance`), and the outputs that are as long as the
bucket are cut back to the length of the request.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod

import numpy as np

from despina.scheduling.pending import Pending
from despina.scheduling.scheduler import Layer, Scheduler
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Array, Batch, Execution, Instance


@dataclass(frozen=True, slots=True)
class BuiltInput:
    """An input of the model that the server fills in: `rank` and dtype as the model has them."""

    name: str
    dtype: np.dtype[np.generic]
    rank: int


@dataclass(frozen=True, slots=True)
class ShapeBucket:
    """The sizes, ascending, that `axis` of an input is padded to with `pad`. Axes count the batch dimension.

    `outputs` are the variable axes of the outputs that are as long as the input. `length` gets the length of every row,
    `mask` 1 where a row has a value and 0 where it was padded.
    """

    input: str
    axis: int
    sizes: tuple[int, ...]
    pad: object = 0
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    length: BuiltInput | None = None
    mask: BuiltInput | None = None

    def padded(self, length: int) -> int:
        """The size that a length is padded to; lengths above the last size are not."""
        index = bisect_left(self.sizes, length)
        return self.sizes[index] if index < len(self.sizes) else length


class BucketedRequests(Layer):
    """Lets requests of one bucket share batches, and cuts their outputs back. Counts the padding."""

    def __init__(self, inner: Scheduler, buckets: Sequence[ShapeBucket], statistics: ModelStatistics) -> None:
        super().__init__(inner)
        self._buckets = {bucket.input: bucket for bucket in buckets}
        self._statistics = statistics

    def submit(self, pending: Pending) -> None:
        key: list[tuple[str, tuple[int, ...]]] = []
        cuts: list[tuple[ShapeBucket, int, int]] = []
        for name, array in sorted(pending.inputs.items()):
            shape = array.shape
            bucket = self._buckets.get(name)
            if bucket is not None:
                length, axis = shape[bucket.axis], bucket.axis
                padded = bucket.padded(length)
                cuts.append((bucket, length, padded))
                shape = (*shape[:axis], padded, *shape[axis + 1 :])
            key.append((name, shape[1:]))
        pending.shape_key = tuple(key)
        pending.on_done = partial(self._answered, cuts, pending.on_done)
        self._inner.submit(pending)

    def _answered(
        self, cuts: Sequence[tuple[ShapeBucket, int, int]], on_done: Callable[[Pending], None], pending: Pending
    ) -> None:
        if pending.results is not None:
            for bucket, length, padded in cuts:
                shape = pending.inputs[bucket.input].shape
                elements = prod(shape[: bucket.axis] + shape[bucket.axis + 1 :])
                self._statistics.bucket_elements += elements * length
                if padded != length:
                    self._statistics.padding_elements += elements * (padded - length)
                    pending.results = cut_back(pending.results, bucket.outputs, padded, length)
        on_done(pending)


def cut_back(
    results: Mapping[str, Array], outputs: Mapping[str, tuple[int, ...]], padded: int, length: int
) -> dict[str, Array]:
    """Views of `results` without the padding: the axes in `outputs` that are `padded` long become `length` long."""
    cut = dict(results)
    for name, axes in outputs.items():
        array = cut.get(name)
        if array is not None:
            shape = array.shape
            ends = [length if axis in axes and size == padded else size for axis, size in enumerate(shape)]
            cut[name] = array[tuple(map(slice, ends))]
    return cut


class PaddingInstance:
    """Pads batches on their way to `inner`. All requests of a batch are of the same bucket."""

    def __init__(self, inner: Instance, buckets: Sequence[ShapeBucket]) -> None:
        self._inner = inner
        self._buckets = buckets

    def execute(self, batch: Batch) -> Execution:
        """Raises BackendError."""
        inputs = dict(batch.inputs)
        for bucket in self._buckets:
            parts = batch.inputs.get(bucket.input)
            if parts is not None:
                inputs |= padded_inputs(bucket, parts, batch.rows)
        return self._inner.execute(Batch(inputs, batch.rows, batch.outputs))

    def close(self) -> None:
        self._inner.close()


def padded_inputs(bucket: ShapeBucket, parts: Sequence[Array], rows: int) -> dict[str, Sequence[Array]]:
    """The parts of one bucketed input, one per request, and of the inputs that tell what of it is padding. `rows` is 0
    for a model without a batch dimension."""
    axis = bucket.axis
    lengths = [part.shape[axis] for part in parts]
    size = bucket.padded(max(lengths))
    inputs: dict[str, Sequence[Array]] = {bucket.input: parts}
    if any(length != size for length in lengths):
        inputs[bucket.input] = (_pad(bucket, parts, size, rows),)
    if bucket.length is None and bucket.mask is None:
        return inputs
    counts = [part.shape[0] if rows else 1 for part in parts]
    row_lengths = np.repeat(lengths, counts)
    if bucket.length is not None:
        values = row_lengths.astype(bucket.length.dtype)
        inputs[bucket.length.name] = (values.reshape(values.shape + (1,) * (bucket.length.rank - 1)),)
    if bucket.mask is not None:
        mask = (np.arange(size) < row_lengths[:, None]).astype(bucket.mask.dtype)
        inputs[bucket.mask.name] = (mask if rows else mask[0],)
    return inputs


def _pad(bucket: ShapeBucket, parts: Sequence[Array], size: int, rows: int) -> Array:
    """All parts in one array of `size` along the bucket's axis."""
    axis = bucket.axis
    first = parts[0]
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    if rows:
        shape = (sum([part.shape[0] for part in parts]), *shape[1:])
    padded = np.full(shape, bucket.pad, first.dtype)
    row = 0
    for part in parts:
        place = padded[row : row + part.shape[0]] if rows else padded
        place[(slice(None),) * axis + (slice(part.shape[axis]),)] = part
        row += part.shape[0]
    return padded
