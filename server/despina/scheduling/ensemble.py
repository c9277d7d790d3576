"""The scheduler of ensembles: a request becomes one internal request per step, sent as soon as its tensors exist.

The steps' models have schedulers of their own, which batch, order and refuse these requests like any others. Tensors
are handed from step to step as they are; nothing is copied or encoded in between.
"""

from collections.abc import Callable, Mapping
from time import time_ns

from despina.errors import Cancelled
from despina.scheduling.batch_axis import fit_batch_axis
from despina.scheduling.clock import Clock
from despina.scheduling.ensemble_gate import Gate
from despina.scheduling.ensemble_graph import EnsembleGraph, Plan, PlannedStep, make_plan
from despina.scheduling.ensemble_run import EnsembleRun
from despina.scheduling.ensemble_step import FindModel, StepModel
from despina.scheduling.pending import Pending
from despina.scheduling.scheduler import Draining
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Array

MAX_PLANS = 64
"""How many sets of requested outputs are remembered."""


class EnsembleScheduler:
    """Runs the requests of one ensemble. An ensemble has no queue and no instances: its requests wait in its steps."""

    def __init__(self, graph: EnsembleGraph, find_model: FindModel, clock: Clock, statistics: ModelStatistics) -> None:
        self.name = graph.name
        self.now_ns = clock.now_ns
        self._graph = graph
        self._find_model = find_model
        self._clock = clock
        self._statistics = statistics
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._runs: dict[Pending, EnsembleRun] = {}
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
        """Start a request. It is answered here already when its first step cannot take it."""
        pending.queued_ns = self.now_ns()
        add_sequence_parameters(pending)
        run = EnsembleRun(self, pending, self._plan(pending.outputs or self._graph.outputs))
        self._runs[pending] = run
        pending.started_ns = self.now_ns()
        run.start()

    def request_gone(self, pending: Pending) -> None:
        """The client hung up: steps that are still queued are given up, and no further one starts."""
        pending.cancel()
        run = self._runs.get(pending)
        if run is not None:
            run.fail(Cancelled(""), "CANCELED")

    def close(self) -> None:
        """There is nothing to give up: the steps are models of their own."""

    def _plan(self, outputs: tuple[str, ...]) -> Plan:
        plan = self._plans.get(outputs)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[outputs] = make_plan(self._graph, outputs)
        return plan

    # ---------------------------------------------------------------------------------------- what a run asks its owner

    def find_model(self, step: PlannedStep) -> StepModel:
        """The READY model that runs `step`. Raises NotFound, Unavailable."""
        return self._find_model(step.step.model, step.step.version)

    def gate(self, step: PlannedStep) -> Gate | None:
        """What all requests for `step` go through; None when there may be any number of them."""
        return None if self._gates is None else self._gates[step.index]

    def output(self, name: str, tensor: Array) -> Array:
        """A tensor as the output `name` of the ensemble."""
        rank = self._graph.ranks.get(name)
        return tensor if rank is None else fit_batch_axis(tensor, rank, self._graph.batches)

    def answer(self, run: EnsembleRun, results: Mapping[str, Array]) -> None:
        """Answer and count a run that ended well, up to the moment before its answer goes out."""
        pending = run.pending
        rows = pending.rows if self._graph.batches and not pending.empty else 1
        taken_ns = self.now_ns() - pending.accepted_ns
        self._leave(pending)
        pending.succeed(results)
        if pending.error is not None:
            self._statistics.record_failure(taken_ns, "OTHER")
            return
        self._statistics.record_success(taken_ns, pending.started_ns - pending.queued_ns)
        self._statistics.record_execution(1, rows, *run.compute_ns, time_ns() // 1_000_000)

    def failed(self, run: EnsembleRun, reason: str) -> None:
        """Count a run that did not. As in tritonserver, whose alerts are tuned to it, a failed step counts on the
        ensemble once more, besides the failure of the request itself."""
        taken_ns = self.now_ns() - run.pending.accepted_ns
        self._statistics.record_failure(taken_ns, reason)
        if reason != "CANCELED":
            self._statistics.record_failure(taken_ns, reason)
        self._leave(run.pending)

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
