"""Requests larger than `max_batch_size`, for models that allow them: split, run in parts, put together again.

Triton refuses such requests, and so do we unless the model's configuration says otherwise. A part is a request like any
other: it queues, batches, expires and counts on its own. The parts' inputs are views; the outputs are joined row-wise.
The first part that fails fails the request, and what has not run by then never will.
"""

from collections.abc import Mapping

import numpy as np

from despina.errors import DespinaError, Unsupported
from despina.scheduling.pending import Pending
from despina.scheduling.scheduler import Layer, Scheduler
from despina_backends.base import Array


class Oversize(Layer):
    """Splits what is larger than `max_batch_size` rows. `model` is for errors."""

    def __init__(self, inner: Scheduler, model: str, max_batch_size: int) -> None:
        super().__init__(inner)
        self._model = model
        self._max_batch_size = max_batch_size
        self._splits: dict[Pending, _Split] = {}

    def submit(self, pending: Pending) -> None:
        """Take a request. When a part finds no room, the parts before it leave again."""
        if pending.rows <= self._max_batch_size:
            self._inner.submit(pending)
            return
        split = self._splits[pending] = _Split(self, pending)
        try:
            split.submit(self._inner, self._max_batch_size)
        except DespinaError:
            self._forget(pending)
            raise

    def request_gone(self, pending: Pending) -> None:
        """The client of a taken request hung up."""
        split = self._splits.get(pending)
        pending.cancel()
        for part in split.parts if split is not None else (pending,):
            self._inner.request_gone(part)

    def finished(self, pending: Pending, error: Exception | None) -> None:
        """All parts are answered, or one failed."""
        split = self._forget(pending)
        if error is None:
            try:
                results = split.join(self._model)
            except Unsupported as mismatch:
                error = mismatch
            else:
                pending.started_ns = split.parts[0].started_ns
                pending.response_parameters = split.explanation()
                pending.succeed(results)
                return
        pending.fail(error)

    def _forget(self, pending: Pending) -> "_Split":
        split = self._splits.pop(pending)
        split.over = True
        for part in split.parts:
            if part.results is None and part.error is None:
                self._inner.request_gone(part)
        return split


class _Split:
    """One request on its way in parts."""

    def __init__(self, owner: Oversize, whole: Pending) -> None:
        self._owner = owner
        self._whole = whole
        self._answered = 0
        self._expected = 0
        self.parts: list[Pending] = []
        self.over = False

    def submit(self, scheduler: Scheduler, size: int) -> None:
        rows = self._whole.rows
        self._expected = -(-rows // size)
        for begin in range(0, rows, size):
            part = self._part(begin, min(begin + size, rows))
            # It may be answered before `submit` returns, and with it all of them.
            self.parts.append(part)
            scheduler.submit(part)
            if self.over:
                return

    def _part(self, begin: int, end: int) -> Pending:
        whole = self._whole
        return Pending(
            {name: array[begin:end] for name, array in whole.inputs.items()},
            end - begin,
            self._part_done,
            whole.shape_key,
            whole.outputs,
            whole.id,
            whole.priority,
            whole.timeout_us,
            byte_size=whole.byte_size * (end - begin) // whole.rows,
            parameters=whole.parameters,
            accepted_ns=whole.accepted_ns,
        )

    def _part_done(self, part: Pending) -> None:
        self._answered += 1
        if not self.over and (part.error is not None or self._answered == self._expected):
            self._owner.finished(self._whole, part.error)

    def join(self, model: str) -> Mapping[str, Array]:
        """The outputs of the parts, one after another. Raises Unsupported when some part's rows do not fit."""
        results: dict[str, Array] = {}
        for name in self.parts[0].results or ():
            pieces = [(part.results or {})[name] for part in self.parts]
            for part, piece in zip(self.parts, pieces, strict=True):
                if not piece.ndim or piece.shape[0] != part.rows or piece.shape[1:] != pieces[0].shape[1:]:
                    raise Unsupported(
                        f"output '{name}' of model '{model}': expected {part.rows} rows from a part of a request that "
                        f"was split, got shape {list(piece.shape)}; send at most max_batch_size rows to this model"
                    )
            results[name] = np.concatenate(pieces)
        return results

    def explanation(self) -> dict[str, bool | int | float | str] | None:
        """What was explained about the last part, for those who asked, and how many parts there were."""
        last = self.parts[-1].response_parameters
        return None if last is None else {**last, "request_parts": len(self.parts)}
