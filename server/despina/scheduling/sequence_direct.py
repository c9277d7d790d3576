"""The direct strategy on one instance: every sequence keeps one row of the batch from its first request to its last.

A model that keeps state inside itself finds it by the row. So an execution has all rows from the first to the highest
that has a request, and a row whose sequence has none is there all the same, with READY false. A sequence that has ended
gives its row to the next one while its last request still runs: the instance runs one batch at a time, so the row is
never in two of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from functools import partial
from typing import TYPE_CHECKING

from despina.scheduling.batch_policy import Reason
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.permits import Permits
from despina.scheduling.runner import InstanceRunner
from despina.scheduling.sequence import Sequence, Slot
from despina.scheduling.sequence_answers import SequenceAnswers
from despina.scheduling.sequence_plan import DirectStrategy
from despina.scheduling.sequence_step import Step, Steps
from despina.scheduling.unforeseen import unforeseen

if TYPE_CHECKING:
    from despina.scheduling.sequence_scheduler import SequenceScheduler


class DirectInstance:
    """`slots[i]` is row i of the batch."""

    def __init__(
        self,
        runner: InstanceRunner,
        slots: int,
        strategy: DirectStrategy,
        owner: SequenceScheduler,
        steps: Steps,
        answers: SequenceAnswers,
    ) -> None:
        self.slots = [Slot(self, number) for number in range(slots)]
        self.running = False
        self.permits: Permits | None = None
        self._starting = False
        self._runner = runner
        self._strategy = strategy
        self._owner = owner
        self._steps = steps
        self._answers = answers

    @property
    def queued(self) -> int:
        return sum(len(slot.sequence.queue) for slot in self.slots if slot.sequence is not None)

    def arrived(self, slot: Slot) -> None:
        """There is nothing to prepare: the queues are looked at when a batch is formed."""

    def withdraw(self, sequence: Sequence) -> list[Pending]:
        """Nothing is handed on before it runs."""
        return []

    def run(self, now_ns: int) -> int:
        if self.running:
            return 0
        ready = [(slot, slot.sequence) for slot in self.slots if slot.sequence is not None and slot.sequence.queue]
        if not ready:
            if self.permits is not None:
                self.permits.give_up([self._runner])
            return 0
        oldest_ns = min([sequence.queue[0].queued_ns for _, sequence in ready])
        wake_ns = self._wait_until(oldest_ns, len(ready))
        if wake_ns > now_ns:
            return wake_ns
        if self.permits is None or self.permits.next([self._runner]) is not None:
            self._start(ready, now_ns, "delay" if wake_ns else "idle")
        return 0

    def _wait_until(self, oldest_ns: int, ready: int) -> int:
        """When a batch of so many requests has waited long enough; 0 when it has not to wait."""
        strategy = self._strategy
        if not (strategy.max_queue_delay_ns and strategy.minimum_slot_utilization):
            return 0
        if ready / len(self.slots) >= strategy.minimum_slot_utilization:
            return 0
        return oldest_ns + strategy.max_queue_delay_ns

    def _start(self, ready: list[tuple[Slot, Sequence]], now_ns: int, reason: Reason) -> None:
        # Whoever waits longest decides which shapes run: none can be kept from running by the others for ever.
        keys = [self._steps.shape_key(sequence, sequence.queue[0]) for _, sequence in ready]
        key = keys[0]
        if keys.count(key) < len(keys):
            _, key = min(zip(ready, keys, strict=True), key=lambda item: item[0][1].queue[0].queued_ns)
        taken = [slot for (slot, _), own in zip(ready, keys, strict=True) if own == key]
        rows: list[Step | None] = [None] * (ready[-1][0].number + 1)
        for slot in taken:
            rows[slot.number] = step = self._steps.make(slot, now_ns)
            self._owner.started(step.pending)
            if step.pending.sequence_end:
                self._owner.release(slot)
        self.running = True
        size = len(rows) if key is None else sum(row.pending.byte_size for row in rows if row is not None)
        done = partial(self._finish, rows, reason)
        try:
            batch = self._steps.gather(rows)
        except Exception as error:
            done(Outcome(now_ns, error=unforeseen(error)))
            return
        self._starting = True
        self._runner.run(batch, size, done)
        self._starting = False

    def _finish(self, rows: Rows[Step | None], reason: Reason, outcome: Outcome) -> None:
        self.running = False
        if self.permits is not None:
            self.permits.finished(self._runner)
        self._answers.finished(rows, outcome, reason)
        steps = [step for step in rows if step is not None]
        for step in steps:
            self._owner.rested(step.sequence)
        self._owner.executed([step.pending for step in steps], self._starting)
