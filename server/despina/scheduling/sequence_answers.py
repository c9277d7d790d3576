"""From the outcome of an execution to the answers of its requests and the next states of their sequences."""

from collections.abc import Mapping
from collections.abc import Sequence as Rows
from time import time_ns

from despina.errors import DespinaError, Unsupported
from despina.scheduling.answers import count_answered
from despina.scheduling.batch_policy import Reason
from despina.scheduling.clock import Clock
from despina.scheduling.explanation import EXPLAIN, explain
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.sequence_plan import SequencePlan
from despina.scheduling.sequence_step import Step
from despina.scheduling.unforeseen import fail_unanswered
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Array, Execution


class SequenceAnswers:
    """Answers the rows of an execution in their order. When a request fails, its sequence keeps the state it had."""

    def __init__(self, plan: SequencePlan, clock: Clock, statistics: ModelStatistics) -> None:
        self._clock = clock
        self._statistics = statistics
        self._batches_rows = plan.max_batch_size > 0
        self._states = plan.states
        self._hidden = frozenset(state.output_name for state in plan.states if not state.visible)

    def finished(self, rows: Rows[Step | None], outcome: Outcome, reason: Reason) -> None:
        """`rows` have run; None is a row without a request. `reason` is what let the batch go."""
        try:
            self._finished(rows, outcome, reason)
        except Exception as error:
            unanswered = [step.pending for step in rows if step is not None]
            fail_unanswered(unanswered, error, self._clock.now_ns(), self._statistics)

    def _finished(self, rows: Rows[Step | None], outcome: Outcome, reason: Reason) -> None:
        if outcome.execution is None:
            assert outcome.error is not None
            for step in rows:
                if step is not None:
                    step.pending.started_ns = outcome.started_ns
                    self._fail(step.pending, outcome.error)
        else:
            self._succeed(rows, outcome.started_ns, outcome.execution, reason)

    def _succeed(self, rows: Rows[Step | None], started_ns: int, execution: Execution, reason: Reason) -> None:
        answered: list[Pending] = []
        # As for other batches: before the answers are written.
        now = self._clock.now_ns()
        for row, step in enumerate(rows):
            if step is None:
                continue
            pending = step.pending
            pending.started_ns = started_ns
            try:
                results = self._results(pending, execution.outputs, row)
                if self._states:
                    step.sequence.states = self._next_states(step.sequence.states, execution.outputs, row, len(rows))
            except Unsupported as error:
                self._fail(pending, Unsupported(pending.label + error.message))
                continue
            pending.input_end_ns, pending.infer_end_ns = execution.input_end_ns, execution.infer_end_ns
            if pending.parameters and pending.parameters.get(EXPLAIN) is True:
                explain(pending, len(rows), reason, execution)
            pending.succeed(results)
            if pending.error is not None:
                self._statistics.record_failure(now - pending.accepted_ns, "BACKEND")
                continue
            answered.append(pending)
        count_answered(answered, len(answered), started_ns, now, self._statistics)
        self._count(len(answered), rows, started_ns, execution, now)

    def _fail(self, pending: Pending, error: DespinaError) -> None:
        self._statistics.record_failure(self._clock.now_ns() - pending.accepted_ns, "BACKEND")
        pending.fail(error)

    def _results(self, pending: Pending, outputs: Mapping[str, Array], row: int) -> dict[str, Array]:
        wanted = pending.outputs
        return {
            name: self._row(name, array, row)
            for name, array in outputs.items()
            if (name in wanted if wanted is not None else name not in self._hidden)
        }

    def _next_states(
        self, old: tuple[Array, ...], outputs: Mapping[str, Array], row: int, rows: int
    ) -> tuple[Array, ...]:
        """The states after an execution. One that the backend did not give stays as it was."""
        return tuple(
            self._next_state(state.output_name, outputs[state.output_name], row, rows)
            if state.output_name in outputs
            else before
            for state, before in zip(self._states, old, strict=True)
        )

    def _next_state(self, name: str, array: Array, row: int, rows: int) -> Array:
        state = self._row(name, array, row, "output state")
        # A view would keep the whole batch in memory for as long as one sequence of it lives.
        return state.copy() if rows > 1 else state

    def _row(self, name: str, array: Array, row: int, what: str = "output") -> Array:
        if not self._batches_rows:
            return array
        got = array.shape[0] if array.ndim else 0
        if got <= row:
            raise Unsupported(
                f"failed to split the {what} tensor '{name}' in responses: expected batch size of at least {row + 1} "
                f"in model output, got {got}"
            )
        return array[row : row + 1]

    def _count(
        self, answered: int, rows: Rows[Step | None], started_ns: int, execution: Execution, end_ns: int
    ) -> None:
        statistics = self._statistics
        statistics.record_execution(
            answered,
            len(rows),
            execution.input_end_ns - started_ns,
            execution.infer_end_ns - execution.input_end_ns,
            end_ns - execution.infer_end_ns,
            time_ns() // 1_000_000,
        )
        # Rows without a request, or whose request failed, belong to the batch size, and are no inferences.
        statistics.inference_count -= len(rows) - answered
