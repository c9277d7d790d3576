"""The scheduler of ensembles: a request becomes one internal request per step, sent as soon as its tensors exist.

The steps' models have schedulers of their own, which batch, order and refuse these requests like any others. Tensors
are handed from step to step as they are; nothing is copied or encoded in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Protocol

from despina.errors import Cancelled, DespinaError, Internal, Unavailable
from despina.scheduling.batch_axis import fit_batch_axis
from despina.scheduling.clock import Clock
from despina.scheduling.ensemble_graph import EnsembleGraph, Plan, PlannedStep, make_plan
from despina.scheduling.pending import Array, Pending
from despina.telemetry.statistics import ModelStatistics

if TYPE_CHECKING:
    from despina.protocol.messages import Parameter
    from despina.telemetry.trace import Trace

MAX_PLANS = 64
"""How many sets of requested outputs are remembered."""


@dataclass(slots=True)
class StepRequest:
    """What an ensemble asks of a step's model. `inputs` have the shapes that clients would send; the rest is that of
    the ensemble's own request, and `trace` is where the step's part of it goes."""

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    id: str = ""
    priority: int = 0
    timeout_us: int = 0
    correlation_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    trace: Trace | None = None


class StepModel(Protocol):
    """A model as an ensemble sees it."""

    def submit_step(self, request: StepRequest, on_done: Callable[[Pending], None]) -> Pending:
        """Check and schedule an internal request. Raises DespinaError when it does not fit or cannot be taken."""
        ...

    def client_results(self, pending: Pending) -> Mapping[str, Array]:
        """The results of a successful request in the shapes that clients see."""
        ...

    def request_gone(self, pending: Pending) -> None: ...

    @property
    def labels(self) -> Mapping[str, list[str]]:
        """Class names by output."""
        ...


FindModel = Callable[[str, int | None], StepModel]
"""The READY model of a name, in a version or the latest one for None. Raises NotFound, Unavailable."""


class EnsembleScheduler:
    """Runs the requests of one ensemble. An ensemble has no queue and no instances: its requests wait in its steps."""

    def __init__(self, graph: EnsembleGraph, find_model: FindModel, clock: Clock, statistics: ModelStatistics) -> None:
        self._graph = graph
        self._find_model = find_model
        self._clock = clock
        self._statistics = statistics
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._runs: dict[Pending, EnsembleRun] = {}
        self._gates = [Gate(graph.max_inflight) for _ in graph.steps]
        self._idle_callbacks: list[Callable[[], None]] = []

    @property
    def busy(self) -> bool:
        """Whether any taken request is unanswered."""
        return bool(self._runs)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as nothing taken is unanswered."""
        if self._runs:
            self._idle_callbacks.append(callback)
        else:
            self._clock.call_soon(callback)

    def submit(self, pending: Pending) -> None:
        """Start a request. It is answered here already when its first step cannot take it."""
        pending.queued_ns = self._clock.now_ns()
        add_sequence_parameters(pending)
        run = EnsembleRun(self, pending, self._plan(pending.outputs or self._graph.outputs))
        self._runs[pending] = run
        pending.started_ns = self._clock.now_ns()
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

    @property
    def name(self) -> str:
        return self._graph.name

    def find_model(self, step: PlannedStep) -> StepModel:
        return self._find_model(step.step.model, step.step.version)

    def gate(self, step: PlannedStep) -> Gate:
        return self._gates[step.index]

    def output(self, name: str, tensor: Array) -> Array:
        rank = self._graph.ranks.get(name)
        return tensor if rank is None else fit_batch_axis(tensor, rank, self._graph.batches)

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def answered(self, run: EnsembleRun) -> None:
        """Count a run that ended well, before its answer goes out."""
        pending = run.pending
        rows = pending.rows if self._graph.batches else 1
        self._statistics.record_success(self.now_ns() - pending.accepted_ns, pending.started_ns - pending.queued_ns)
        self._statistics.record_execution(1, rows, *run.compute_ns, time_ns() // 1_000_000)
        self._leave(pending)

    def failed(self, run: EnsembleRun, reason: str) -> None:
        """Count a run that did not."""
        self._statistics.record_failure(self.now_ns() - run.pending.accepted_ns, reason)
        self._leave(run.pending)

    def _leave(self, pending: Pending) -> None:
        del self._runs[pending]
        if not self._runs and self._idle_callbacks:
            # Soon and not now: the answer itself goes out right after this.
            callbacks, self._idle_callbacks = self._idle_callbacks, []
            for callback in callbacks:
                self._clock.call_soon(callback)


class Gate:
    """Lets `limit` requests of a step through at a time, any number if it is 0; the others wait in order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0
        self._waiting: deque[Callable[[], bool]] = deque()

    def enter(self, send: Callable[[], bool]) -> None:
        """Call `send` when there is room. It returns whether it sent anything that will leave again."""
        self._waiting.append(send)
        self._open()

    def leave(self) -> None:
        self._inside -= 1
        self._open()

    def _open(self) -> None:
        while self._waiting and (not self._limit or self._inside < self._limit):
            self._inside += 1
            if not self._waiting.popleft()():
                self._inside -= 1


class EnsembleRun:
    """One request on its way through the steps. `compute_ns` adds up what the executed steps took: to gather their
    inputs, to compute, and to place their outputs."""

    __slots__ = (
        "_in_flight",
        "_missing",
        "_owner",
        "_plan",
        "_tensors",
        "_unfinished",
        "compute_ns",
        "ended",
        "pending",
    )

    def __init__(self, owner: EnsembleScheduler, pending: Pending, plan: Plan) -> None:
        self.pending = pending
        self.compute_ns = (0, 0, 0)
        self.ended = False
        self._owner = owner
        self._plan = plan
        self._tensors = dict(pending.inputs)
        self._missing = {step.index: step.waits_for for step in plan.steps}
        self._unfinished = len(plan.steps)
        self._in_flight: dict[int, tuple[StepModel, Pending]] = {}

    def start(self) -> None:
        """Start the steps that wait for no other."""
        for step in self._plan.steps:
            if not step.waits_for:
                self._enter(step)

    def _enter(self, step: PlannedStep) -> None:
        if not self.ended:
            self._owner.gate(step).enter(partial(self._send, step))

    def _send(self, step: PlannedStep) -> bool:
        """Send a step's request. False when there is nothing to wait for."""
        if self.ended:
            return False
        try:
            model = self._owner.find_model(step)
            request = self._request(step)
            sent = model.submit_step(request, partial(self._step_done, step, model))
        except Exception as error:
            self.fail(self._explained(error), "OTHER")
            return False
        if sent.results is None and sent.error is None:
            if self.ended:
                model.request_gone(sent)
            else:
                self._in_flight[step.index] = (model, sent)
        return True

    def _request(self, step: PlannedStep) -> StepRequest:
        pending, tensors = self.pending, self._tensors
        return StepRequest(
            # An optional input of the ensemble that was left out is left out of its steps, too.
            {name: tensors[tensor] for name, tensor in step.step.inputs if tensor in tensors},
            tuple(sorted(name for name, _ in step.outputs)),
            pending.id,
            pending.priority,
            pending.timeout_us,
            pending.correlation_id,
            pending.sequence_start,
            pending.sequence_end,
            pending.parameters,
            None if pending.trace is None else pending.trace.child(),
        )

    def _step_done(self, step: PlannedStep, model: StepModel, answer: Pending) -> None:
        self._in_flight.pop(step.index, None)
        try:
            if self.ended:
                return
            if answer.error is not None:
                self.fail(self._explained(answer.error), "OTHER")
                return
            self._add_times(answer)
            self._take(step, model.client_results(answer))
        except Exception as error:
            self.fail(self._explained(error), "OTHER")
            return
        finally:
            self._owner.gate(step).leave()
        self._unfinished -= 1
        self._go_on(step)

    def _go_on(self, step: PlannedStep) -> None:
        for _, tensor in step.outputs:
            for reader in self._plan.readers.get(tensor, ()):
                self._missing[reader.index] -= 1
                if not self._missing[reader.index]:
                    self._enter(reader)
        if not self._unfinished and not self.ended:
            self._succeed()

    def _take(self, step: PlannedStep, results: Mapping[str, Array]) -> None:
        for name, tensor in step.outputs:
            if name not in results:
                raise Internal(f"model '{step.step.model}' gave no output '{name}'")
            self._tensors[tensor] = results[name]

    def _add_times(self, answer: Pending) -> None:
        if answer.compute_ns is not None:
            taken = answer.compute_ns
        elif answer.infer_end_ns:
            taken = (
                answer.input_end_ns - answer.started_ns,
                answer.infer_end_ns - answer.input_end_ns,
                self._owner.now_ns() - answer.infer_end_ns,
            )
        else:
            return
        gathered, computed, placed = self.compute_ns
        self.compute_ns = (gathered + taken[0], computed + taken[1], placed + taken[2])

    def _succeed(self) -> None:
        self.ended = True
        self.pending.compute_ns = self.compute_ns
        self._owner.answered(self)
        self.pending.succeed({name: self._owner.output(name, self._tensors[name]) for name in self._plan.outputs})

    def fail(self, error: Exception, reason: str) -> None:
        """Answer with an error and give up what is still under way."""
        if self.ended:
            return
        self.ended = True
        in_flight, self._in_flight = self._in_flight, {}
        for model, sent in in_flight.values():
            model.request_gone(sent)
        self._owner.failed(self, reason)
        self.pending.fail(error)

    def _explained(self, error: Exception) -> DespinaError:
        if not isinstance(error, DespinaError):
            return Internal(f"in ensemble '{self._owner.name}', {error}")
        message = f"in ensemble '{self._owner.name}', {error.message}"
        if isinstance(error, Unavailable):
            return Unavailable(message, error.retry_after)
        return type(error)(message)


def add_sequence_parameters(pending: Pending) -> None:
    """The answer of an ensemble says which sequence its request belongs to."""
    pending.response_parameters = {
        "sequence_id": pending.correlation_id or 0,
        "sequence_start": pending.sequence_start,
        "sequence_end": pending.sequence_end,
    }
