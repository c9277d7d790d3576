"""Ragged batches: requests of different lengths in one execution, without padding (config §6.6).

The elements of all requests are put one after another into a vector, and further inputs, built here, tell the model
where one request ends and the next one begins. All of this happens between the batcher and the backend's instance, so
neither knows of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from math import prod

import numpy as np

from despina.scheduling.pending import Pending
from despina.scheduling.scheduler import Layer, Scheduler
from despina_backends.base import Array, BackendError, Batch, Execution, Instance

Shapes = Sequence[tuple[int, ...]]
"""The shapes of one input, one per request of a batch, batch dimension included."""


def _counts(shapes: Shapes) -> list[int]:
    return [prod(shape) for shape in shapes]


def _item_shapes(shapes: Shapes) -> list[tuple[int, ...]]:
    """The shape of every row of every request."""
    return [shape[1:] for shape in shapes for _ in range(shape[0])]


_KINDS: Mapping[str, Callable[[Shapes], object]] = {
    "BATCH_ELEMENT_COUNT": _counts,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": lambda shapes: [*accumulate(_counts(shapes))],
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": lambda shapes: [*accumulate(_counts(shapes), initial=0)],
    # Only the shape means something.
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": lambda shapes: [0] * max(_counts(shapes), default=0),
    "BATCH_ITEM_SHAPE": _item_shapes,
    "BATCH_ITEM_SHAPE_FLATTEN": lambda shapes: [size for shape in _item_shapes(shapes) for size in shape],
}


@dataclass(frozen=True, slots=True)
class BatchInput:
    """An input of the model that tells about the requests of a batch. `kind` is a name of BatchInput.Kind, `source`
    the input it tells about."""

    kind: str
    target: str
    source: str
    dtype: np.dtype[np.generic]

    def build(self, shapes: Shapes) -> Array:
        """The tensor: one dimension, except for BATCH_ITEM_SHAPE, which has a row per row of the batch."""
        return np.array(_KINDS[self.kind](shapes), self.dtype)


@dataclass(frozen=True, slots=True)
class RaggedLayout:
    """`concatenated` are the inputs with allow_ragged_batch, `scattered` maps the outputs of
    BATCH_SCATTER_WITH_INPUT_SHAPE to the inputs whose shapes their pieces have."""

    concatenated: frozenset[str] = frozenset()
    built: tuple[BatchInput, ...] = ()
    scattered: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.concatenated or self.built or self.scattered)


class RaggedInstance:
    """Executes ragged batches on `inner`. A scattered output comes back as an object array with one element per row,
    of which the first of every request holds all that belongs to the request; `ScatteredOutputs` takes it out."""

    def __init__(self, inner: Instance, layout: RaggedLayout) -> None:
        self._inner = inner
        self._layout = layout

    def execute(self, batch: Batch) -> Execution:
        """Raises BackendError."""
        layout = self._layout
        inputs = {
            name: (_joined(parts),) if name in layout.concatenated else parts for name, parts in batch.inputs.items()
        }
        for built in layout.built:
            shapes = [part.shape for part in batch.inputs.get(built.source, ())]
            inputs[built.target] = (built.build(shapes),)
        execution = self._inner.execute(Batch(inputs, batch.rows, batch.outputs))
        if layout.scattered:
            execution.outputs = self._scattered(execution.outputs, batch)
        return execution

    def _scattered(self, outputs: Mapping[str, Array], batch: Batch) -> dict[str, Array]:
        sources = self._layout.scattered
        return {
            name: _scatter(name, array, batch.inputs[sources[name]], batch.rows) if name in sources else array
            for name, array in outputs.items()
        }

    def close(self) -> None:
        self._inner.close()


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0].reshape(-1) if len(parts) == 1 else np.concatenate([part.reshape(-1) for part in parts])


def _scatter(name: str, array: Array, sources: Sequence[Array], rows: int) -> Array:
    """One piece of `array` per request, shaped like its part of the source input."""
    flat = array.reshape(-1)
    expected = sum(source.size for source in sources)
    if flat.size < expected:
        raise BackendError(
            f"failed to split the output tensor '{name}' in responses: expected at least {expected} elements in model "
            f"output, got {flat.size}"
        )
    pieces = np.empty(rows or 1, object)
    row = offset = 0
    for source in sources:
        pieces[row] = flat[offset : offset + source.size].reshape(source.shape)
        row += source.shape[0] if rows else 1
        offset += source.size
    return pieces


class ScatteredOutputs(Layer):
    """Takes the pieces of scattered outputs out of what the instance and the batcher made of them."""

    def __init__(self, inner: Scheduler, outputs: frozenset[str]) -> None:
        super().__init__(inner)
        self._outputs = outputs

    def submit(self, pending: Pending) -> None:
        pending.on_done = partial(self._answered, pending.on_done)
        self._inner.submit(pending)

    def _answered(self, on_done: Callable[[Pending], None], pending: Pending) -> None:
        if pending.results is not None:
            pending.results = {
                name: _piece(array) if name in self._outputs else array for name, array in pending.results.items()
            }
        on_done(pending)


def _piece(carrier: Array) -> Array:
    """What the rows of one request carry: one piece, or several if the request ran in parts."""
    pieces: list[Array] = [piece for piece in carrier.tolist() if piece is not None]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
