"""A request on its way through a scheduler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TYPE_CHECKING

from despina.errors import request_label
from despina_backends.base import Array

if TYPE_CHECKING:
    from despina.protocol.messages import Parameter
    from despina.telemetry.tracing.trace import Trace


_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Pending:
    """One admitted request: checked against its model, not yet answered.

    `inputs` have the shape the model takes (batch dimension first when it batches); `rows` is that first dimension, or
    1 for models that do not batch. `shape_key` tells requests apart that must not share a batch; None when every
    request of the model has the same shapes. `outputs` names the wanted outputs, None for all. `on_done` is called
    exactly once, on the event loop's thread, when `results` or `error` is set. `client` is who asks, one request at a
    time, as far as that is known. `count` is how many requests of clients this stands for, with equally many rows each:
    more than one where front ends send together what came together. `on_done` sets `error` beside `results` where these
    cannot be placed where the client wants them: the request has failed then. `empty`: there are no rows at all, and
    `rows` keeps others out of the batch. Times are `time.monotonic_ns`; `compute_ns` is what the steps of an ensemble
    took together, to gather inputs, to compute and to place outputs.
    """

    inputs: Mapping[str, Array]
    rows: int
    on_done: Callable[[Pending], None]
    shape_key: object = None
    outputs: tuple[str, ...] | None = None
    id: str = ""
    priority: int = 0
    timeout_us: int = 0
    byte_size: int = 0
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    trace: Trace | None = None
    client: object = None
    correlation_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    accepted_ns: int = field(default_factory=monotonic_ns)
    queued_ns: int = 0
    started_ns: int = 0
    input_end_ns: int = 0
    infer_end_ns: int = 0
    deadline_ns: int = 0
    compute_ns: tuple[int, int, int] | None = None
    cancelled: bool = False
    results: Mapping[str, Array] | None = None
    error: Exception | None = None
    response_parameters: dict[str, Parameter] | None = None
    count: int = 1
    empty: bool = False

    @property
    def label(self) -> str:
        """The prefix many error texts carry."""
        return request_label(self.id)

    def cancel(self) -> None:
        """The client is gone. Takes effect while the request is queued; a running execution is not disturbed."""
        self.cancelled = True

    def succeed(self, results: Mapping[str, Array]) -> None:
        self.results = results
        try:
            self.on_done(self)
        except Exception:
            self._undelivered()

    def fail(self, error: Exception) -> None:
        self.error = error
        try:
            self.on_done(self)
        except Exception:
            self._undelivered()

    def _undelivered(self) -> None:
        """One answer that cannot be delivered must not cost the rest of its batch theirs."""
        _log.exception("the answer of a request could not be delivered")
