"""The oldest strategy on one instance: its sequences give one request each to a dynamic batcher of the instance's own.

A sequence hands its next request on when the one before has been answered, so requests of one sequence never share a
batch, and the state is there when it is needed. What makes a batch is decided as for any dynamically batched model
(`batch_policy`); the delay counts from when a request was handed on. As one instance runs one batch at a time, and in
the order in which requests came, answers keep that order too: `preserve_ordering` asks for nothing more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from despina.scheduling.batch_policy import NO_BATCH, Decision, OpenBatch, Reason, next_batch
from despina.scheduling.clock import Clock
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.permits import Permits
from despina.scheduling.runner import InstanceRunner
from despina.scheduling.sequence import Sequence, Slot
from despina.scheduling.sequence_answers import SequenceAnswers
from despina.scheduling.sequence_plan import OldestStrategy
from despina.scheduling.sequence_step import Step, Steps
from despina.scheduling.unforeseen import unforeseen

if TYPE_CHECKING:
    from despina.scheduling.sequence_scheduler import SequenceScheduler

MAX_FORMED = 2
"""Batches that may wait formed; what is beyond stays in the queue, where a preferred size can still be chosen."""


@dataclass(slots=True)
class FormedSteps:
    """A batch on its way: open for more steps until `closed` or started."""

    steps: list[Step] = field(default_factory=list)
    closed: bool = False
    reason: Reason | None = None

    @property
    def as_open(self) -> OpenBatch:
        return OpenBatch(len(self.steps), self.steps[0].shape_key)

    def add(self, steps: list[Step], decision: Decision) -> None:
        self.steps += steps
        self.close_if(decision)

    def close_if(self, decision: Decision) -> None:
        """Take over what was decided. The first reason stands, unless a later decision closes the batch."""
        if decision.closed or self.reason is None:
            self.closed = decision.closed
            self.reason = decision.reason


class OldestInstance:
    """A slot is a candidate; its number means nothing."""

    def __init__(
        self,
        runner: InstanceRunner,
        strategy: OldestStrategy,
        owner: SequenceScheduler,
        steps: Steps,
        answers: SequenceAnswers,
        clock: Clock,
    ) -> None:
        self.slots = [Slot(self, number) for number in range(strategy.max_candidate_sequences)]
        self.running = False
        self.permits: Permits | None = None
        self._starting = False
        self._runner = runner
        self._policy = strategy.policy
        self._owner = owner
        self._steps = steps
        self._answers = answers
        self._clock = clock
        self._ready: deque[Step] = deque()
        self._formed: deque[FormedSteps] = deque()

    @property
    def queued(self) -> int:
        return len(self._ready)

    def arrived(self, slot: Slot) -> None:
        """Hand on the next request of the slot, unless one is under way."""
        if slot.in_flight or slot.sequence is None or not slot.sequence.queue:
            return
        slot.in_flight = True
        step = self._steps.make(slot, self._clock.now_ns())
        self._ready.append(step)
        if step.pending.sequence_end:
            self._owner.release(slot)

    def withdraw(self, sequence: Sequence) -> list[Pending]:
        if sequence.slot is None or not sequence.slot.in_flight:
            return []
        waiting = chain(self._ready, *(batch.steps for batch in self._formed))
        taken = [step for step in waiting if step.sequence is sequence]
        for step in taken:
            self._remove(step)
            self._landed(step.slot)
        self._formed = deque(batch for batch in self._formed if batch.steps)
        for step in taken:
            # What else waits of the sequence itself is given up, too; its slot may be another's already.
            if step.slot.sequence is not sequence:
                self.arrived(step.slot)
        return [step.pending for step in taken]

    def _landed(self, slot: Slot) -> None:
        slot.in_flight = False
        self._owner.landed(slot)

    def _remove(self, step: Step) -> None:
        if step in self._ready:
            self._ready.remove(step)
            return
        next(batch for batch in self._formed if step in batch.steps).steps.remove(step)

    def run(self, now_ns: int) -> int:
        wake_ns = self._form(now_ns)
        while self._formed and not self.running:
            if self.permits is not None and self.permits.next([self._runner]) is None:
                return wake_ns
            if self._start(self._formed.popleft()):
                return 0
            wake_ns = self._form(now_ns)
        if self.permits is not None and not self.running and not self._ready:
            self.permits.give_up([self._runner])
        return wake_ns

    def _form(self, now_ns: int) -> int:
        while self._ready and self._may_form():
            batch = self._formed[-1] if self._formed and not self._formed[-1].closed else None
            decision = next_batch(self._ready, now_ns, self._policy, batch.as_open if batch else NO_BATCH)
            if decision.take:
                self._grow(batch, decision)
            elif batch is not None and decision.closed:
                batch.close_if(decision)
            else:
                return decision.wake_ns
        return 0

    def _may_form(self) -> bool:
        """With the instance free, a batch runs before it grows any further."""
        return len(self._formed) < MAX_FORMED and (self.running or not self._formed)

    def _grow(self, batch: FormedSteps | None, decision: Decision) -> None:
        if batch is None:
            batch = FormedSteps()
            self._formed.append(batch)
        batch.add([self._ready.popleft() for _ in range(decision.take)], decision)

    def _start(self, batch: FormedSteps) -> bool:
        """True when the batch has already run, on this thread."""
        steps = batch.steps
        for step in steps:
            self._owner.started(step.pending)
        self.running = True
        size = len(steps) if steps[0].shape_key is None else sum(step.pending.byte_size for step in steps)
        done = partial(self._finish, batch)
        try:
            gathered = self._steps.gather(steps)
        except Exception as error:
            done(Outcome(self._clock.now_ns(), error=unforeseen(error)))
        else:
            self._starting = True
            self._runner.run(gathered, size, done)
            self._starting = False
        return not self.running

    def _finish(self, batch: FormedSteps, outcome: Outcome) -> None:
        self.running = False
        if self.permits is not None:
            self.permits.finished(self._runner)
        self._answers.finished(batch.steps, outcome, batch.reason or "idle")
        for step in batch.steps:
            self._landed(step.slot)
            self._owner.rested(step.sequence)
            self.arrived(step.slot)
        self._owner.executed([step.pending for step in batch.steps], self._starting)
