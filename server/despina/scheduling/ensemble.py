"""The scheduler of ensembles: a request becomes one internal request per step, sent as soon as its tensors exist.

The steps' models have schedulers of their own, which batch, order and refuse these requests like any others. Tensors
are handed from step to step as they are; nothing is copied or encoded in between. Requests that came in the same moment
and are alike go through the steps together (`ensemble_group`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from time import time_ns

from despina.errors import Cancelled, DespinaError, InvalidArgument, Unsupported
from despina.remember import remember
from despina.scheduling.answers import TOGETHER, count_answered
from despina.scheduling.batch_axis import fit_batch_axis
from despina.scheduling.clock import Clock
from despina.scheduling.ensemble_gate import Gate
from despina.scheduling.ensemble_graph import EnsembleGraph, Plan, PlannedStep, make_plan
from despina.scheduling.ensemble_group import MAX_JOINED_BYTES, joined, kind_of
from despina.scheduling.ensemble_run import EnsembleRun
from despina.scheduling.ensemble_step import FindModel, StepModel
from despina.scheduling.formed_batch import split_group
from despina.scheduling.outbox import Outbox
from despina.scheduling.pending import Pending
from despina.scheduling.scheduler import Draining
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Array

MAX_PLANS = 64
"""How many sets of requested outputs are remembered."""


class EnsembleScheduler:
    """Runs the requests of one ensemble. An ensemble has no queue and no instances: its requests wait in its steps.
    `joins`: requests may go together, as none of its inputs is ragged."""

    def __init__(
        self,
        graph: EnsembleGraph,
        find_model: FindModel,
        clock: Clock,
        statistics: ModelStatistics,
        outbox: Outbox | None = None,
        joins: bool = False,
    ) -> None:
        self.name = graph.name
        self.now_ns = clock.now_ns
        self._graph = graph
        self._find_model = find_model
        self._clock = clock
        self._statistics = statistics
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._outbox = outbox or Outbox()
        self._joins = joins and graph.batches and not graph.max_inflight
        self._arrived: list[Pending] = []
        self._runs: dict[Pending, EnsembleRun | None] = {}
        self._gates = [Gate(graph.max_inflight) for _ in graph.steps] if graph.max_inflight else None
        self._draining = Draining()

    @property
    def busy(self) -> bool:
        """Whether any taken request is unanswered."""
        return bool(self._runs)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as nothing taken is unanswered."""
        if self._runs:
            self._draining.append(callback)
        else:
            self._clock.call_soon(callback)

    def submit(self, pending: Pending) -> None:
        """Start a request, at once or when everything that is ready has been read. It may be answered here already,
        when its first step cannot take it. Raises InvalidArgument for outputs that the ensemble does not have: another
        one, whose step it is, may know them from a version before."""
        if pending.outputs is not None:
            self._plan_of(pending)
        pending.queued_ns = self.now_ns()
        add_sequence_parameters(pending)
        if not self._joins:
            self._start((pending,))
            return
        self._runs[pending] = None
        if not self._arrived:
            self._clock.call_soon(self._start_arrived)
        self._arrived.append(pending)

    def _start_arrived(self) -> None:
        """Start what has come since the last time, in its order. Requests next to each other go together."""
        arrived, self._arrived = self._arrived, []
        if len(arrived) == 1:
            self._start(arrived)
            return
        for kind, alike in groupby(arrived, kind_of):
            requests = list(alike)
            together = self._together(requests[0]) if kind is not None else 1
            for start in range(0, len(requests), together):
                self._start(requests[start : start + together])

    def _together(self, pending: Pending) -> int:
        """How many requests like this one can go through all steps as one. Only texts differ in their size."""
        try:
            rows = min([self.find_model(step).step_rows for step in self._plan_of(pending).steps], default=0)
        except DespinaError:
            return 1
        return max(1, min(rows // pending.rows, MAX_JOINED_BYTES // max(1, pending.byte_size)))

    def _start(self, requests: Sequence[Pending]) -> None:
        requests = [each for each in requests if each.error is None]  # The others were given up meanwhile.
        if not requests:
            return
        pending = requests[0]
        if len(requests) > 1:
            try:
                pending = joined(requests)
            except (MemoryError, ValueError):
                for each in requests:
                    self._start((each,))
                return
        run = EnsembleRun(self, pending, self._plan_of(pending), requests)
        now = self.now_ns()
        for each in requests:
            self._runs[each] = run
            each.started_ns = now
        run.start()

    def request_gone(self, pending: Pending) -> None:
        """The client hung up: steps that are still queued are given up, and no further one starts. Others that go
        through them together with this one are not disturbed."""
        pending.cancel()
        if pending not in self._runs:
            return
        run = self._runs[pending]
        if run is not None and all(each is pending or each.error is not None for each in run.members):
            run.fail(Cancelled(""), "CANCELED")
        else:
            self._fail(pending, Cancelled(""), "CANCELED")

    def close(self) -> None:
        """There is nothing to give up: the steps are models of their own."""

    def _plan_of(self, pending: Pending) -> Plan:
        outputs = pending.outputs or self._graph.outputs
        plan = self._plans.get(outputs)
        if plan is None:
            if unknown := [name for name in outputs if name not in self._graph.outputs]:
                raise InvalidArgument(f"unexpected inference output '{min(unknown)}' for model '{self.name}'")
            plan = remember(self._plans, outputs, make_plan(self._graph, outputs), MAX_PLANS)
        return plan

    # ---------------------------------------------------------------------------------------- what a run asks its owner

    def find_model(self, step: PlannedStep) -> StepModel:
        """The READY model that runs `step`. Raises NotFound, Unavailable."""
        return self._find_model(step.step.model, step.step.version)

    def gate(self, step: PlannedStep) -> Gate | None:
        """What all requests for `step` go through; None when there may be any number of them."""
        return None if self._gates is None else self._gates[step.index]

    def _output(self, name: str, tensor: Array) -> Array:
        """A tensor as the output `name` of the ensemble."""
        rank = self._graph.ranks.get(name)
        return tensor if rank is None else fit_batch_axis(tensor, rank, self._graph.batches)

    def parted(self, runs: Iterable[EnsembleRun]) -> None:
        """The members of a group go on by themselves."""
        for run in runs:
            if not run.ended:
                self._runs[run.pending] = run

    def answer(self, run: EnsembleRun, results: Mapping[str, Array]) -> None:
        """Answer and count a run that ended well."""
        if len(run.members) < TOGETHER:
            self._answer(run, results)
        else:
            with self._outbox.together():
                self._answer(run, results)

    def _answer(self, run: EnsembleRun, results: Mapping[str, Array]) -> None:
        members, compute_ns = run.members, run.compute_ns
        pieces = split_group(results, members)
        # Up to the moment before the answers go out.
        now = self.now_ns()
        answered: list[Pending] = []
        for pending, piece in zip(members, pieces, strict=True):
            assert not isinstance(piece, Unsupported)  # Every tensor has the rows of all members.
            if pending.error is not None:
                continue  # Its client has gone.
            pending.compute_ns = compute_ns
            self._leave(pending)
            pending.succeed({name: self._output(name, tensor) for name, tensor in piece.items()})
            if pending.error is None:
                answered.append(pending)
            else:
                self._statistics.record_failure(now - pending.accepted_ns, "OTHER")
        if answered:
            self._count(answered, compute_ns, now)

    def _count(self, answered: list[Pending], compute_ns: tuple[int, int, int], now_ns: int) -> None:
        """For each request an execution of its own."""
        first, count = answered[0], len(answered)
        count_answered(answered, count, first.started_ns, now_ns, self._statistics)
        rows = first.rows if self._graph.batches and not first.empty else 1
        self._statistics.record_execution(count, rows, *compute_ns, time_ns() // 1_000_000, count)

    def fail(self, run: EnsembleRun, error: Exception, reason: str) -> None:
        """Count and answer a run that did not end well."""
        for pending in run.members:
            if pending.error is None:
                self._fail(pending, error, reason)

    def _fail(self, pending: Pending, error: Exception, reason: str) -> None:
        """As in tritonserver, whose alerts are tuned to it, a failed step counts on the ensemble once more, besides the
        failure of the request itself."""
        taken_ns = self.now_ns() - pending.accepted_ns
        self._statistics.record_failure(taken_ns, reason)
        if reason != "CANCELED":
            self._statistics.record_failure(taken_ns, reason)
        self._leave(pending)
        pending.fail(error)

    def _leave(self, pending: Pending) -> None:
        del self._runs[pending]
        if not self._runs and self._draining:
            # Soon and not now: the answer itself goes out right after this.
            for callback in self._draining.take():
                self._clock.call_soon(callback)


def add_sequence_parameters(pending: Pending) -> None:
    """The answer of an ensemble says which sequence its request belongs to, a number of 64 bits with its sign."""
    sequence_id = pending.correlation_id
    if isinstance(sequence_id, int) and sequence_id >= 1 << 63:
        sequence_id -= 1 << 64
    pending.response_parameters = {
        "sequence_id": sequence_id,
        "sequence_start": pending.sequence_start,
        "sequence_end": pending.sequence_end,
    }
