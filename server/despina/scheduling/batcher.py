"""The owner of a model's queue, forming batches and idle instances.

Everything here runs on the event loop's thread, so nothing needs a lock. One *turn* forms as many batches as the rules
allow and starts them on idle instances. Turns are asked for by arrivals, by finished executions and by the timer of a
delay, and happen after everything that was ready on the sockets has been read: requests that arrive in the same moment
end up in the same batch.

A formed batch that waits for an instance stays open for later arrivals until it is full. At most twice as many batches
as instances may wait like that; what arrives beyond stays in the queue, where it can still be refused, reordered or
cancelled. A queue with such rules of its own is only touched when an instance is free.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import time_ns

from despina.errors import Cancelled, Unavailable, Unsupported
from despina.scheduling.batch_policy import NO_BATCH, Decision, OpenBatch
from despina.scheduling.clock import Clock, Timer
from despina.scheduling.pending import Array, Pending
from despina.scheduling.request_queue import RequestQueue
from despina.scheduling.runner import InstanceRunner, Outcome
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Batch

Decide = Callable[[Iterable[Pending], int, OpenBatch], Decision]


def one_at_a_time(queue: Iterable[Pending], now_ns: int, open_batch: OpenBatch) -> Decision:
    """The decision of models without dynamic batching: every request is an execution of its own."""
    return Decision(1, closed=True)


class FormedBatch:
    """Requests that will run together."""

    __slots__ = ("closed", "reason", "requests", "rows", "shape_key")

    def __init__(self) -> None:
        self.requests: list[Pending] = []
        self.rows = 0
        self.shape_key: object = None
        self.closed = False
        self.reason = ""

    def add(self, requests: list[Pending], decision: Decision) -> None:
        if not self.requests:
            self.shape_key = requests[0].shape_key
        self.requests += requests
        for pending in requests:
            self.rows += pending.rows
        self.closed = decision.closed
        self.reason = decision.reason


class Batcher:
    """Schedules the requests of one model version over its instances.

    `decide` says what makes a batch. `prefetch` allows batches to wait formed. `hold_requests` keeps the first turn back
    until so many requests are queued (TRITONSERVER_DELAY_SCHEDULER, for tests that need exact batches). `batches_rows`
    is False for models whose tensors have no batch dimension.
    """

    def __init__(
        self,
        queue: RequestQueue,
        decide: Decide,
        runners: list[InstanceRunner],
        clock: Clock,
        statistics: ModelStatistics,
        *,
        prefetch: bool = True,
        batches_rows: bool = True,
        hold_requests: int = 0,
    ) -> None:
        self._queue = queue
        self._decide = decide
        self._idle = list(runners)
        self._clock = clock
        self._statistics = statistics
        self._slots = 2 * len(runners) if prefetch else 0
        self._batches_rows = batches_rows
        self._hold_requests = hold_requests
        self._waiting: deque[FormedBatch] = deque()
        self._turn_asked = False
        self._timer: Timer | None = None
        self._timer_ns = 0
        self._runner_count = len(runners)
        self._idle_callbacks: list[Callable[[], None]] = []

    @property
    def busy(self) -> bool:
        """Whether any taken request is unanswered."""
        return bool(self._queue or self._waiting or len(self._idle) < self._runner_count)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as nothing taken is unanswered."""
        self._idle_callbacks.append(callback)
        self._ask_turn()

    def submit(self, pending: Pending) -> None:
        """Queue a request. Raises Unavailable when the queue is full."""
        pending.queued_ns = self._clock.now_ns()
        try:
            self._queue.push(pending)
        except Unavailable:
            self._statistics.rejected_queue_full += 1
            raise
        self._statistics.pending += 1
        self._ask_turn()

    def request_gone(self, pending: Pending) -> None:
        """The client of a queued request hung up."""
        pending.cancel()
        self._ask_turn()

    def _ask_turn(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self._clock.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_asked = False
        if self._hold_requests:
            if len(self._queue) < self._hold_requests:
                return
            self._hold_requests = 0
        self._form()
        while self._waiting and self._idle:
            if self._start(self._waiting.popleft()):
                self._ask_turn()
                return
            self._form()
        if self._idle_callbacks and not self.busy:
            callbacks, self._idle_callbacks = self._idle_callbacks, []
            for callback in callbacks:
                callback()

    # ---------------------------------------------------------------------------------------------------- forming

    def _form(self) -> None:
        """Move requests from the queue into batches as far as the rules allow."""
        if not self._queue:
            return
        now = self._clock.now_ns()
        self._drop_expired(now)
        wake_ns = 0
        while self._queue and self._may_form():
            batch = self._open_batch()
            open_batch = OpenBatch(batch.rows, batch.shape_key) if batch else NO_BATCH
            decision = self._decide(self._queue, now, open_batch)
            if decision.take:
                self._grow(batch, decision)
            elif batch is not None and decision.closed:
                batch.closed = True
            else:
                wake_ns = decision.wake_ns
                break
        self._set_timer(wake_ns)

    def _may_form(self) -> bool:
        waiting = len(self._waiting)
        return waiting < self._slots if self._slots else waiting < len(self._idle)

    def _open_batch(self) -> FormedBatch | None:
        if self._waiting and not self._waiting[-1].closed:
            return self._waiting[-1]
        return None

    def _grow(self, batch: FormedBatch | None, decision: Decision) -> None:
        if batch is None:
            batch = FormedBatch()
            self._waiting.append(batch)
        batch.add(self._queue.take(decision.take), decision)

    def _drop_expired(self, now_ns: int) -> None:
        for pending in self._queue.discard_cancelled():
            self._refuse(pending, Cancelled(""), "CANCELED", now_ns)
        for pending in self._queue.expire(now_ns):
            self._refuse(pending, Unavailable("Request timeout expired"), "REJECTED", now_ns)

    def _refuse(self, pending: Pending, error: Exception, reason: str, now_ns: int) -> None:
        self._statistics.pending -= 1
        self._statistics.record_failure(now_ns - pending.accepted_ns, reason)
        pending.fail(error)

    def _set_timer(self, wake_ns: int) -> None:
        expiry = self._queue.next_expiry_ns() if self._queue else 0
        if expiry and (not wake_ns or expiry < wake_ns):
            wake_ns = expiry
        if wake_ns == self._timer_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ns = wake_ns
        if wake_ns:
            self._timer = self._clock.call_at(wake_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_ns = 0
        self._ask_turn()

    # --------------------------------------------------------------------------------------------------- executing

    def _start(self, batch: FormedBatch) -> bool:
        """Start a batch on an idle instance. True when it has already run, on this thread."""
        if any(pending.cancelled for pending in batch.requests):
            self._drop_cancelled(batch)
            if not batch.requests:
                return False
        self._statistics.pending -= len(batch.requests)
        runner = self._idle.pop()
        idle_before = len(self._idle)
        runner.run(self._gather(batch), batch.rows, partial(self._finish, batch, runner))
        return len(self._idle) > idle_before

    def _drop_cancelled(self, batch: FormedBatch) -> None:
        now = self._clock.now_ns()
        for pending in [pending for pending in batch.requests if pending.cancelled]:
            batch.requests.remove(pending)
            batch.rows -= pending.rows
            self._refuse(pending, Cancelled(""), "CANCELED", now)

    def _gather(self, batch: FormedBatch) -> Batch:
        requests = batch.requests
        first = requests[0]
        rows = batch.rows if self._batches_rows else 0
        if len(requests) == 1:
            return Batch({name: (array,) for name, array in first.inputs.items()}, rows, first.outputs)
        inputs = {name: [pending.inputs[name] for pending in requests] for name in first.inputs}
        return Batch(inputs, rows, _wanted(requests))

    def _finish(self, batch: FormedBatch, runner: InstanceRunner, outcome: Outcome) -> None:
        self._idle.append(runner)
        for pending in batch.requests:
            pending.started_ns = outcome.started_ns
        if outcome.execution is None:
            self._fail_all(batch, outcome)
        else:
            self._answer_all(batch, outcome.execution.outputs, outcome)
        self._ask_turn()

    def _fail_all(self, batch: FormedBatch, outcome: Outcome) -> None:
        now = self._clock.now_ns()
        assert outcome.error is not None
        for pending in batch.requests:
            self._statistics.record_failure(now - pending.accepted_ns, "BACKEND")
            pending.fail(outcome.error)

    def _answer_all(self, batch: FormedBatch, outputs: Mapping[str, Array], outcome: Outcome) -> None:
        execution = outcome.execution
        assert execution is not None
        statistics = self._statistics
        now = self._clock.now_ns()
        answered = 0
        offset = 0
        single = len(batch.requests) == 1
        for pending in batch.requests:
            try:
                results = outputs if single else _rows_of(outputs, pending, offset)
            except Unsupported as error:
                statistics.record_failure(now - pending.accepted_ns, "BACKEND")
                pending.fail(error)
                continue
            finally:
                offset += pending.rows
            answered += 1
            statistics.record_success(now - pending.accepted_ns, outcome.started_ns - pending.queued_ns)
            pending.succeed(results)
        if answered:
            statistics.record_execution(
                answered,
                batch.rows,
                execution.input_end_ns - outcome.started_ns,
                execution.infer_end_ns - execution.input_end_ns,
                self._clock.now_ns() - execution.infer_end_ns,
                time_ns() // 1_000_000,
            )


def _wanted(requests: list[Pending]) -> tuple[str, ...] | None:
    """The outputs that at least one of the requests wants; None for all."""
    first = requests[0].outputs
    if all(pending.outputs == first for pending in requests):
        return first
    names: dict[str, None] = {}
    for pending in requests:
        if pending.outputs is None:
            return None
        names.update(dict.fromkeys(pending.outputs))
    return tuple(names)


def _rows_of(outputs: Mapping[str, Array], pending: Pending, offset: int) -> dict[str, Array]:
    """The rows of a batch that belong to one request, as views."""
    end = offset + pending.rows
    results: dict[str, Array] = {}
    for name, array in outputs.items():
        if pending.outputs is not None and name not in pending.outputs:
            continue
        got = array.shape[0] if array.ndim else 0
        if got < end:
            raise Unsupported(
                f"failed to split the output tensor '{name}' in responses: expected batch size of at least {end} in "
                f"model output, got {got}"
            )
        results[name] = array[offset:end]
    return results
