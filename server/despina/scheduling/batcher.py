"""The owner of a model's queue, waiting batches and instances.

Everything here runs on the event loop's thread, so nothing needs a lock. One *turn* forms as many batches as the rules
allow (`waiting_batches`) and starts them on idle instances. Turns are asked for by arrivals, by finished executions and
by the timer of a delay or a timeout, and happen after everything that was ready on the sockets has been read: requests
that arrive in the same moment end up in the same batch.

Where batches run in a process of their own, the loop's time is what counts, and half of the usual requests need not
wait for the end of a turn (`instances`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from despina.errors import Cancelled, Unavailable
from despina.scheduling.answers import Answers
from despina.scheduling.clock import Clock
from despina.scheduling.formed_batch import FormedBatch, gather
from despina.scheduling.instances import Instances
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.permits import Permits
from despina.scheduling.request_queue import QueueFull, RequestQueue, TooLate
from despina.scheduling.returning_clients import ReturningClients
from despina.scheduling.runner import InstanceRunner
from despina.scheduling.scheduler import Draining
from despina.scheduling.throughput import Throughput
from despina.scheduling.turns import Turns
from despina.scheduling.unforeseen import unforeseen
from despina.scheduling.waiting_batches import Decide, WaitingBatches
from despina.telemetry.statistics import ModelStatistics

CLOSED_BATCHES_NS = 200_000
"""So long a turn goes on running batches on this thread that nothing can join any more: what has come meanwhile would
not make them larger."""


@dataclass(frozen=True, slots=True)
class BatcherOptions:
    """How a batcher goes about it.

    `prefetch` allows batches to wait formed. `hold_requests` keeps the first turn back until so many requests are
    queued (TRITONSERVER_DELAY_SCHEDULER, for tests that need exact batches). `batches_rows` is False for models whose
    tensors have no batch dimension. `fixed_shapes`: all requests of a model have the same shapes, so that the time of a
    batch follows from its rows. `delays` is True where idle instances may have to wait for a batch.
    """

    prefetch: bool = True
    batches_rows: bool = True
    fixed_shapes: bool = True
    delays: bool = False
    hold_requests: int = 0


class BatchObserver(Protocol):
    """Somebody who wants to know how long things take."""

    def batch_done(self, shape_key: object, rows: int, taken_ns: int) -> None:
        """A batch of `rows` has run; `shape_key` is that of its requests."""
        ...

    def turn_taken(self, taken_ns: int) -> None:
        """So long passed between the first request of a turn and its end. Requests that came to a socket meanwhile
        have waited without being seen."""
        ...


class Batcher:
    """Schedules the requests of one model version over its instances. `observer` is there when somebody wants to know
    how long batches take."""

    def __init__(
        self,
        queue: RequestQueue,
        decide: Decide,
        runners: list[InstanceRunner],
        clock: Clock,
        statistics: ModelStatistics,
        answers: Answers,
        options: BatcherOptions,
        observer: BatchObserver | None = None,
    ) -> None:
        self._queue = queue
        self._instances = Instances(runners, options.prefetch)
        self._waiting = WaitingBatches(queue, decide, self._instances, 2 * len(runners) if options.prefetch else 0)
        self._returning_clients = ReturningClients()
        self._clock = clock
        self._statistics = statistics
        self._answers = answers
        self._options = options
        self._observer = observer
        self._hold_requests = options.hold_requests
        self._throughput = Throughput()
        self._turns = Turns(clock, self._turn)
        self.ask_turn = self._turns.ask
        self._turn_began_ns = 0
        self._starting = False
        self._gone: list[Pending] = []
        self._draining = Draining()

    def use_permits(self, permits: Permits) -> None:
        """Ask the rate limiter before every start. To be said before the first request."""
        self._instances.permits = permits

    @property
    def busy(self) -> bool:
        """Whether any taken request is unanswered."""
        return bool(self._queue or self._waiting or self._instances.busy)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as nothing taken is unanswered."""
        self._draining.append(callback)
        self.ask_turn()

    def submit(self, pending: Pending) -> None:
        """Queue a request. Raises Unavailable when the queue is full or the request would come too late."""
        pending.queued_ns = self._clock.now_ns()
        try:
            self._queue.push(pending)
        except QueueFull as error:
            self._statistics.rejected_queue_full += pending.count
            error.retry_after = self._throughput.seconds_for(self._queue.rows, pending.queued_ns)
            raise
        except TooLate:
            self._statistics.record_failure(pending.queued_ns - pending.accepted_ns, "REJECTED", pending.count)
            raise
        self._statistics.pending += pending.count
        if not self._turns.asked:
            self._turn_began_ns = pending.queued_ns
            self.ask_turn()
        # What is enough for an instance need not wait for the turn.
        if self._statistics.pending >= self._instances.enough and not self._starting and not self._options.delays:
            self._start_batches()

    def request_gone(self, pending: Pending) -> None:
        """The client of a queued request hung up."""
        pending.cancel()
        self._gone.append(pending)
        self.ask_turn()

    def close(self) -> None:
        """The model is gone; nothing taken is unanswered."""
        self._turns.close()
        self._instances.leave()

    def _turn(self) -> None:
        self._turns.asked = False
        if self._observer is not None and self._turn_began_ns:
            self._observer.turn_taken(self._clock.now_ns() - self._turn_began_ns)
            self._turn_began_ns = 0
        if self._hold_requests and not self._draining:
            if len(self._queue) < self._hold_requests:
                return
            self._hold_requests = 0
        if self._gone:
            self._drop_cancelled()
        pending, now = self._statistics.pending, self._clock.now_ns()
        if not self._draining and self._returning_clients.waits(self._queue, pending, now):
            self.ask_turn()
            return
        wake_ns = self._start_batches()
        if wake_ns or self._queue:
            self._turns.ask_at(wake_ns, self._queue.next_expiry_ns())
        if (permits := self._instances.permits) is not None and not self._waiting.want_instance:
            permits.give_up(self._instances.idle)
        if self._draining and not self.busy:
            for callback in self._draining.take():
                callback()

    def _start_batches(self) -> int:
        """Form batches and start them while instances take them. Returns when to look again, or 0."""
        if not self._queue and not self._waiting:
            return 0
        self._starting = True
        until_ns = 0
        try:
            while True:
                now = self._clock.now_ns()
                if 0 < self._queue.next_expiry_ns() <= now:
                    self._drop_expired(now)
                wake_ns = self._waiting.form(now)
                if not self._waiting or (runner := self._instances.next(self._waiting[0].count)) is None:
                    return wake_ns
                if until_ns and (now > until_ns or not self._waiting[0].closed):
                    self.ask_turn()
                    return wake_ns
                if self._start(self._waiting.popleft(), runner):
                    if not self._waiting and not self._queue:
                        self.ask_turn()
                        return wake_ns
                    until_ns = until_ns or now + CLOSED_BATCHES_NS
        finally:
            self._starting = False

    # --------------------------------------------------------------------------------------------------- refusing

    def _drop_expired(self, now_ns: int) -> None:
        for pending in self._queue.expire(now_ns):
            self._refuse(pending, Unavailable("Request timeout expired"), "REJECTED", now_ns)

    def _drop_cancelled(self) -> None:
        """Take requests whose clients have gone out of the queue and the formed batches."""
        gone, self._gone = self._gone, []
        now = self._clock.now_ns()
        for pending in self._queue.discard_cancelled(gone) + self._waiting.discard_cancelled():
            self._refuse(pending, Cancelled(""), "CANCELED", now)

    def _refuse(self, pending: Pending, error: Exception, reason: str, now_ns: int) -> None:
        self._statistics.pending -= pending.count
        self._statistics.record_failure(now_ns - pending.accepted_ns, reason, pending.count)
        pending.fail(error)

    # --------------------------------------------------------------------------------------------------- executing

    def _start(self, batch: FormedBatch, runner: InstanceRunner) -> bool:
        """Start a batch on an instance. True when it has already run, on this thread."""
        try:
            gathered = gather(batch, self._options.batches_rows)
        except Exception as error:
            reason = unforeseen(error)
            for pending in batch.requests:
                self._refuse(pending, reason, "OTHER", self._clock.now_ns())
            return False
        self._statistics.pending -= batch.count
        self._instances.started(runner, batch.count)
        self._answers.started(batch)
        size = batch.rows if self._options.fixed_shapes else batch.byte_size
        idle_before = len(self._instances.idle)
        runner.run(gathered, size, partial(self._finish, batch, runner))
        has_run = len(self._instances.idle) > idle_before
        self._returning_clients.ran(batch.requests if has_run else (), batch.closed)
        return has_run

    def _finish(self, batch: FormedBatch, runner: InstanceRunner, outcome: Outcome) -> None:
        self._instances.finished(runner, bool(self._waiting or self._queue))
        if self._waiting and self._instances.overlap and not self._starting:
            self._start_batches()
        self._answers.finished(batch, outcome)
        if outcome.execution is not None:
            self._measure(batch, outcome.execution.infer_end_ns - outcome.started_ns)
        self.ask_turn()

    def _measure(self, batch: FormedBatch, taken_ns: int) -> None:
        backlog = bool(self._queue or self._waiting)
        self._throughput.batch_done(batch.rows, self._clock.now_ns() if backlog else 0, backlog)
        if self._observer is not None:
            self._observer.batch_done(batch.shape_key, batch.rows, taken_ns)
