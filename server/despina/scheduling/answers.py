"""From the outcome of an execution to the answers of its requests, and what is counted on the way."""

import logging
from collections import deque
from dataclasses import dataclass
from time import time_ns

from despina.errors import DespinaError, Unsupported
from despina.scheduling.clock import Clock
from despina.scheduling.explanation import EXPLAIN, explain
from despina.scheduling.formed_batch import FormedBatch, split
from despina.scheduling.outbox import Outbox
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.unforeseen import fail_unanswered
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Execution

_log = logging.getLogger(__name__)

TOGETHER = 12
"""Answers to so many requests leave together. In smaller batches the first ones lose more than the others gain."""


class Answers:
    """Answers every batch of a model as soon as it has run."""

    def __init__(self, clock: Clock, statistics: ModelStatistics, outbox: Outbox, model: str) -> None:
        self._clock = clock
        self._statistics = statistics
        self._outbox = outbox
        self._model = model
        self._misfit_told = False

    def started(self, batch: FormedBatch) -> None:
        """`batch` is about to run. Batches start in the order in which their requests came."""

    def finished(self, batch: FormedBatch, outcome: Outcome) -> None:
        """`batch` has run."""
        self._answer(batch, outcome, 0)

    def _answer(self, batch: FormedBatch, outcome: Outcome, held_ns: int) -> None:
        """`held_ns` is how long the outcome was kept back: that is not the model's work and not counted as such."""
        try:
            if outcome.execution is None:
                assert outcome.error is not None
                self._fail(batch, outcome.error, outcome.started_ns)
            elif len(batch.requests) < TOGETHER:
                self._succeed(batch, outcome.execution, outcome.started_ns, held_ns)
            else:
                with self._outbox.together():
                    self._succeed(batch, outcome.execution, outcome.started_ns, held_ns)
        except Exception as error:
            fail_unanswered(batch.requests, error, self._clock.now_ns(), self._statistics)

    def _fail(self, batch: FormedBatch, error: DespinaError, started_ns: int) -> None:
        now = self._clock.now_ns()
        for pending in batch.requests:
            pending.started_ns = started_ns
            self._statistics.record_failure(now - pending.accepted_ns, "BACKEND", pending.count)
            pending.fail(error)

    def _succeed(self, batch: FormedBatch, execution: Execution, started_ns: int, held_ns: int) -> None:
        statistics = self._statistics
        parts = split(execution.outputs, batch)
        # One end for requests and outputs, so that parts never are more than the whole. What follows is the writing of
        # answers, and for a step of an ensemble all that comes after it.
        now = self._clock.now_ns()
        answered: list[Pending] = []
        for pending, results in zip(batch.requests, parts, strict=True):
            pending.started_ns = started_ns
            if isinstance(results, Unsupported):
                statistics.record_failure(now - pending.accepted_ns, "BACKEND", pending.count)
                pending.fail(results)
                continue
            # For traces, and for ensembles, which add up what their steps took.
            pending.input_end_ns, pending.infer_end_ns = execution.input_end_ns, execution.infer_end_ns
            if pending.parameters and pending.parameters.get(EXPLAIN) is True:
                explain(pending, batch.rows, batch.reason or "idle", execution)
            pending.succeed(results)
            if pending.error is not None:
                statistics.record_failure(now - pending.accepted_ns, "BACKEND", pending.count)
                continue
            answered.append(pending)
        if batch.misfit is not None and not self._misfit_told:
            self._tell_misfit(*batch.misfit, batch.rows)
        count = batch.count if len(answered) == len(batch.requests) else sum([each.count for each in answered])
        count_answered(answered, count, started_ns, now, statistics)
        statistics.record_execution(
            count,
            batch.rows,
            execution.input_end_ns - started_ns,
            execution.infer_end_ns - execution.input_end_ns,
            now - execution.infer_end_ns - held_ns,
            time_ns() // 1_000_000,
        )
        if len(answered) != len(batch.requests):
            # Rows that nobody got were executed, and are no inferences.
            statistics.inference_count -= batch.rows - sum([pending.rows for pending in answered])

    def _tell_misfit(self, output: str, made: int, rows: int) -> None:
        """Once: a model that does so does so all the time."""
        self._misfit_told = True
        _log.warning(
            "model '%s': output '%s' had %d rows after a batch of %d, and is cut apart as if one belonged to each row "
            "of the inputs. If that is not so, this model cannot batch: list its inputs and outputs in config.pbtxt, "
            "with all dimensions and max_batch_size: 0",
            self._model,
            output,
            made,
            rows,
        )


def count_answered(
    answered: list[Pending], count: int, started_ns: int, now_ns: int, statistics: ModelStatistics
) -> None:
    """Count requests that started together and were answered well; they stand for `count` requests of clients."""
    if len(answered) == 1:
        statistics.record_success(now_ns - answered[0].accepted_ns, started_ns - answered[0].queued_ns, count)
    elif answered:
        if count > len(answered):
            answered = [pending for pending in answered for _ in range(pending.count)]
        statistics.record_successes(
            [now_ns - pending.accepted_ns for pending in answered],
            [started_ns - pending.queued_ns for pending in answered],
        )


@dataclass(slots=True)
class _Slot:
    """A place in the order of the answers; `outcome` is there once the batch has run."""

    batch: FormedBatch
    outcome: Outcome | None = None
    arrived_ns: int = 0


class OrderedAnswers(Answers):
    """Answers the requests in the order in which they came, however many instances run them (`preserve_ordering`).

    A slot is reserved when a batch starts, and an outcome waits until those before it, failures included, are answered.
    Requests that never start have no slot and are refused at once.
    """

    def __init__(self, clock: Clock, statistics: ModelStatistics, outbox: Outbox, model: str) -> None:
        super().__init__(clock, statistics, outbox, model)
        self._slots: deque[_Slot] = deque()

    def started(self, batch: FormedBatch) -> None:
        self._slots.append(_Slot(batch))

    def finished(self, batch: FormedBatch, outcome: Outcome) -> None:
        now = self._clock.now_ns()
        slot = next(slot for slot in self._slots if slot.batch is batch)
        slot.outcome, slot.arrived_ns = outcome, now
        while self._slots and (outcome_of_first := self._slots[0].outcome) is not None:
            first = self._slots.popleft()
            self._answer(first.batch, outcome_of_first, now - first.arrived_ns)
