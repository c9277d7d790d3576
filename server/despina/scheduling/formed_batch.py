"""Requests that run together: gathered into one execution, and its outputs cut apart again."""

from collections.abc import Mapping, Sequence

from despina.errors import Unsupported
from despina.scheduling.batch_policy import Decision, Reason
from despina.scheduling.pending import Pending
from despina_backends.base import Array, Batch


class FormedBatch:
    """A batch on its way: open for more requests until `closed` or started. `reason` is what let it go. It is `even`
    once it is known that all its requests have as many rows and want the same outputs; a request alone is where its
    answer has to have its rows. `count` is how many requests of clients they stand for. `misfit` is the name of an
    output with more or fewer rows than the batch, and how many it has, once that is seen."""

    __slots__ = ("closed", "count", "even", "misfit", "reason", "requests", "rows", "shape_key")

    def __init__(self) -> None:
        self.requests: list[Pending] = []
        self.rows = 0
        self.count = 0
        self.shape_key: object = None
        self.closed = False
        self.even = False
        self.reason: Reason | None = None
        self.misfit: tuple[str, int] | None = None

    def add(self, requests: list[Pending], decision: Decision) -> None:
        if not self.requests:
            self.shape_key = requests[0].shape_key
        self.requests += requests
        for pending in requests:
            self.rows += pending.rows
            self.count += pending.count
        self.close_if(decision)

    def close_if(self, decision: Decision) -> None:
        """Take over what was decided. The first reason stands, unless a later decision closes the batch."""
        if decision.closed or self.reason is None:
            self.closed = decision.closed
            self.reason = decision.reason

    def remove(self, pending: Pending) -> None:
        """Take out a request whose client has gone."""
        self.requests.remove(pending)
        self.rows -= pending.rows
        self.count -= pending.count

    @property
    def byte_size(self) -> int:
        """Bytes of all input tensors."""
        return sum([pending.byte_size for pending in self.requests])


def gather(batch: FormedBatch, batches_rows: bool) -> Batch:
    """The execution of a formed batch; `batches_rows` is False for models without a batch dimension."""
    requests = batch.requests
    first = requests[0]
    if first.empty:
        batch.rows = 1  # Which is what it counts as.
    rows = batch.rows if batches_rows else 0
    if len(requests) == 1:
        # A group is cut apart by the front end that put it together.
        batch.even = batches_rows and first.count == 1 and not first.empty
        return Batch({name: (array,) for name, array in first.inputs.items()}, rows, first.outputs)
    inputs = {name: [pending.inputs[name] for pending in requests] for name in first.inputs}
    batch.even = _alike(requests)
    return Batch(inputs, rows, first.outputs if batch.even else wanted_outputs(requests))


def _alike(requests: list[Pending]) -> bool:
    first, count = requests[0], len(requests)
    return [pending.rows for pending in requests].count(first.rows) == count and [
        pending.outputs for pending in requests
    ].count(first.outputs) == count


def wanted_outputs(requests: Sequence[Pending]) -> tuple[str, ...] | None:
    """The outputs that at least one of the requests wants; None for all."""
    names: dict[str, None] = {}
    for pending in requests:
        if pending.outputs is None:
            return None
        names.update(dict.fromkeys(pending.outputs))
    return tuple(names)


def split(outputs: Mapping[str, Array], batch: FormedBatch) -> Sequence[Mapping[str, Array] | Unsupported]:
    """What belongs to each request of an executed batch, as views, or why that cannot be told."""
    if len(batch.requests) == 1 and (not batch.even or have_rows(batch.rows, outputs)):
        return (outputs,)
    parts = _even_parts(outputs, batch) if batch.even else None
    if parts is not None:
        return parts
    results: list[Mapping[str, Array] | Unsupported] = []
    offset = 0
    for pending in batch.requests:
        try:
            results.append(_rows_of(outputs, pending, offset))
        except Unsupported as error:
            results.append(error)
        offset += pending.rows
    made = {name: len(array) if array.ndim else 1 for name, array in outputs.items()}
    batch.misfit = next(((name, count) for name, count in made.items() if count != offset), None)
    return results


def split_group(
    outputs: Mapping[str, Array], requests: Sequence[Pending]
) -> Sequence[Mapping[str, Array] | Unsupported]:
    """The same for requests that went through a scheduler as one: all have as many rows and want the same outputs."""
    if len(requests) == 1:
        return (outputs,)  # Already cut to its rows.
    group = FormedBatch()
    group.add(list(requests), Decision(len(requests)))
    group.even = True
    return split(outputs, group)


def have_rows(rows: int, outputs: Mapping[str, Array]) -> bool:
    """Whether each output has so many."""
    for array in outputs.values():  # noqa: SIM110 (half the time of a generator)
        if not array.ndim or len(array) != rows:
            return False
    return True


def _even_parts(outputs: Mapping[str, Array], batch: FormedBatch) -> list[dict[str, Array]] | None:
    """What belongs to each request of an even batch, as views; None when an output has another number of rows."""
    count, wanted = len(batch.requests), batch.requests[0].outputs
    parts: list[dict[str, Array]] = [{} for _ in range(count)]
    for name, array in outputs.items():
        if wanted is not None and name not in wanted:
            continue
        shape = array.shape
        if not shape or shape[0] != batch.rows:
            return None
        for part, rows in zip(parts, array.reshape(count, batch.rows // count, *shape[1:]), strict=True):
            part[name] = rows
    return parts


def _rows_of(outputs: Mapping[str, Array], pending: Pending, offset: int) -> dict[str, Array]:
    """The rows of a batch that belong to one request, as views. Raises Unsupported when an output is too short."""
    end = offset + pending.rows
    wanted = pending.outputs
    results: dict[str, Array] = {}
    for name, array in outputs.items():
        if wanted is not None and name not in wanted:
            continue
        # A scalar is a row.
        got = len(array) if array.ndim else 1
        if got < end:
            raise Unsupported(
                f"{pending.label}failed to split the output tensor '{name}' in responses: expected batch size of at "
                f"least {end} in model output, got {got}"
            )
        results[name] = array[offset:end] if array.ndim else array
    return results
