"""The batches of a model that no instance has started yet, formed from its queue.

A formed batch that waits for an instance stays open for later arrivals until it is full. At most twice as many batches
as instances may wait like that; what arrives beyond stays in the queue, where it can still be refused, reordered or
cancelled. A queue with such rules of its own is only touched when an instance can run at once.
"""

from collections import deque
from collections.abc import Callable, Iterable

from despina.scheduling.batch_policy import ALONE, NO_BATCH, BatchPolicy, Decision, OpenBatch, next_batch
from despina.scheduling.formed_batch import FormedBatch
from despina.scheduling.instances import Instances
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import RequestQueue

Decide = Callable[[Iterable[Pending], int, OpenBatch], Decision]


def one_at_a_time(queue: Iterable[Pending], now_ns: int, open_batch: OpenBatch) -> Decision:
    """The decision of models without dynamic batching."""
    return ALONE


def decide_by(policy: BatchPolicy, waiting: RequestQueue, fixed_shapes: bool) -> Decide:
    """The decision of a model with dynamic batching about its queue `waiting`. `fixed_shapes`: all its requests have
    the same shapes."""

    def decide(queue: Iterable[Pending], now_ns: int, open_batch: OpenBatch) -> Decision:
        return next_batch(queue, now_ns, policy, open_batch)

    def decide_by_rows(queue: Iterable[Pending], now_ns: int, open_batch: OpenBatch) -> Decision:
        """The same without a look at every request, where there are no other rules: all that waits fits."""
        if open_batch.rows + waiting.rows < policy.max_batch_size:
            return Decision(len(waiting))
        return next_batch(queue, now_ns, policy, open_batch)

    def decide_by_shapes(queue: Iterable[Pending], now_ns: int, open_batch: OpenBatch) -> Decision:
        """The same where shapes may differ: all that waits has the same ones."""
        if open_batch.rows + waiting.rows < policy.max_batch_size:
            keys = [pending.shape_key for pending in queue]
            key = open_batch.shape_key if open_batch.rows else keys[0]
            if keys.count(key) == len(keys):
                return Decision(len(keys))
        return next_batch(queue, now_ns, policy, open_batch)

    if policy.max_queue_delay_ns or policy.stops != (policy.max_batch_size,):
        return decide
    return decide_by_rows if fixed_shapes else decide_by_shapes


class WaitingBatches(deque[FormedBatch]):
    """In the order in which they will start; the last one may be open. `places` is how many there may be, 0 when a
    batch may only be formed for an instance that runs it at once."""

    def __init__(self, queue: RequestQueue, decide: Decide, instances: Instances, places: int) -> None:
        super().__init__()
        self._queue = queue
        self._decide = decide
        self._instances = instances
        self._places = places
        self._held_up = False

    def form(self, now_ns: int) -> int:
        """Move requests from the queue into batches as far as the rules allow. Returns when to look again, or 0."""
        self._held_up = False
        queue, places = self._queue, self._places or len(self._instances.idle)
        while queue and len(self) < places:
            batch = self[-1] if self and not self[-1].closed else None
            open_batch = OpenBatch(batch.rows, batch.shape_key) if batch is not None else NO_BATCH
            decision = self._decide(queue, now_ns, open_batch)
            if decision.take:
                if not self._places and not self._next_can_start():
                    self._held_up = True
                    break
                if batch is None:
                    batch = FormedBatch()
                    self.append(batch)
                batch.add(queue.take(decision.take), decision)
                if not decision.closed and queue and self._next_can_start():
                    break  # What was decided on runs before more joins it.
            elif batch is not None and decision.closed:
                batch.close_if(decision)
            else:
                return decision.wake_ns
        return 0

    @property
    def want_instance(self) -> bool:
        """Whether there is a batch, or would be if an instance could run it."""
        return bool(self or (self._held_up and self._queue))

    def _next_can_start(self) -> bool:
        return self._instances.next(self[0].count if self else 0) is not None

    def discard_cancelled(self) -> list[Pending]:
        """Remove and return the requests whose clients have gone."""
        gone: list[Pending] = []
        for batch in list(self):
            cancelled = [pending for pending in batch.requests if pending.cancelled]
            for pending in cancelled:
                batch.remove(pending)
            gone += cancelled
            if not batch.requests:
                self.remove(batch)
        return gone
