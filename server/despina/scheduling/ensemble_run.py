"""A request of an ensemble on its way through the steps: each is sent as soon as its tensors exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal, Unavailable, Unsupported
from despina.scheduling.ensemble_graph import Plan, PlannedStep
from despina.scheduling.ensemble_group import pieces_of
from despina.scheduling.ensemble_step import StepModel, StepRequest
from despina.scheduling.formed_batch import have_rows
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import QueueFull
from despina_backends.base import Array

if TYPE_CHECKING:
    from despina.scheduling.ensemble import EnsembleScheduler


class EnsembleRun:
    """One request on its way through the steps, or the `members` of a group, for which `pending` stands. `compute_ns`
    adds up what the executed steps took: to gather their inputs, to compute, and to place their outputs.

    A group goes on as `_parts`, a run for each member, once a step's model does not take it or has answered it with
    another number of rows.
    """

    __slots__ = (
        "_in_flight",
        "_missing",
        "_owner",
        "_parts",
        "_plan",
        "_tensors",
        "_unfinished",
        "compute_ns",
        "ended",
        "members",
        "pending",
    )

    def __init__(self, owner: EnsembleScheduler, pending: Pending, plan: Plan, members: Sequence[Pending] = ()) -> None:
        self.pending = pending
        self.members = members or (pending,)
        self.compute_ns = (0, 0, 0)
        self.ended = False
        self._owner = owner
        self._plan = plan
        self._tensors = dict(pending.inputs)
        self._missing = dict(plan.waits_for)
        self._unfinished = len(plan.steps)
        self._in_flight: dict[int, tuple[StepModel, Pending]] = {}
        self._parts: Sequence[EnsembleRun] = ()

    def start(self) -> None:
        """Start the steps that wait for no other. Where none is needed, the request is answered."""
        if not self._unfinished:
            # It is an answer of steps that says which sequence it belongs to.
            self.pending.response_parameters = None
            self._succeed()
        for step in self._plan.steps:
            if not step.waits_for:
                self._enter(step)

    def _enter(self, step: PlannedStep) -> None:
        if self.ended:
            return
        gate = self._owner.gate(step)
        if gate is None:
            self._send(step)
        else:
            gate.enter(partial(self._send, step))

    def _send(self, step: PlannedStep) -> bool:
        """Send a step's request. False when there is nothing to wait for."""
        if self.ended:
            return False
        try:
            model = self._owner.find_model(step)
            sent = self._submit(step, model)
        except Exception as error:
            self.fail(self._explained(error), "OTHER")
            return False
        if sent is None:
            for part in self._parts:
                part._send(step)
            return False
        if sent.results is None and sent.error is None:
            if self.ended:
                model.request_gone(sent)
            else:
                self._in_flight[step.index] = (model, sent)
        return True

    def _submit(self, step: PlannedStep, model: StepModel) -> Pending | None:
        """What was sent, or None when each member of a group has to send its own."""
        done = partial(self._step_done, step, model)
        if self.pending.count == 1:
            return model.submit_step(self._request(step), done)
        if not self._parts and self.pending.rows <= model.step_rows:
            try:
                return model.submit_step(self._request(step), done)
            except QueueFull:
                raise
            except DespinaError:
                pass  # What does not fit is for each of them to hear.
        self._part()
        return None

    def _request(self, step: PlannedStep) -> StepRequest:
        pending, tensors = self.pending, self._tensors
        return StepRequest(
            # What the request or an earlier step left out is left out here, too: the input may be optional.
            {name: tensors[tensor] for name, tensor in step.step.inputs if tensor in tensors},
            step.wanted,
            pending.id,
            pending.priority,
            pending.timeout_us,
            pending.correlation_id,
            pending.sequence_start,
            pending.sequence_end,
            pending.parameters,
            None if pending.trace is None else pending.trace.child(),
            pending.count,
            pending.rows,
        )

    def _step_done(self, step: PlannedStep, model: StepModel, answer: Pending) -> None:
        self._in_flight.pop(step.index, None)
        try:
            if self.ended:
                return
            if answer.error is not None:
                self.fail(self._explained(answer.error), "OTHER")
                return
            results = model.client_results(answer)
            if self.pending.count > 1 and (self._parts or not have_rows(self.pending.rows, results)):
                self._step_done_apart(step, answer, results)
                return
            self._add_times(answer)
            self._take(step, results)
        except Exception as error:
            self.fail(self._explained(error), "OTHER")
            return
        finally:
            gate = self._owner.gate(step)
            if gate is not None:
                gate.leave()
        self._unfinished -= 1
        self._go_on(step)

    def _step_done_apart(self, step: PlannedStep, answer: Pending, results: Mapping[str, Array]) -> None:
        self._part()
        for part, piece in zip(self._parts, pieces_of(results, self.members), strict=True):
            if part.ended:
                continue
            if isinstance(piece, Unsupported):
                part.fail(part._explained(piece), "OTHER")
                continue
            part._add_times(answer)
            part._take(step, piece)
            part._unfinished -= 1
            part._go_on(step)

    def _part(self) -> None:
        """Let each member of the group go on by itself, from here."""
        if self._parts:
            return
        pieces = pieces_of(self._tensors, self.members)
        self._parts = [EnsembleRun(self._owner, pending, self._plan) for pending in self.members]
        for part, piece in zip(self._parts, pieces, strict=True):
            assert not isinstance(piece, Unsupported)  # Only what has the rows of all members is taken.
            part._tensors = dict(piece)
            part._missing = dict(self._missing)
            part._unfinished = self._unfinished
            part.compute_ns = self.compute_ns
            part.ended = part.pending.error is not None
        self._owner.parted(self._parts)

    def _go_on(self, step: PlannedStep) -> None:
        # All are counted before the first is sent: the group may part then, and its members count on from here.
        complete: list[PlannedStep] = []
        for _, tensor in step.outputs:
            for reader in self._plan.readers.get(tensor, ()):
                self._missing[reader.index] -= 1
                if not self._missing[reader.index]:
                    complete.append(reader)
        for reader in complete:
            self._enter(reader)
        if not self._unfinished and not self.ended:
            self._succeed()

    def _take(self, step: PlannedStep, results: Mapping[str, Array]) -> None:
        for name, tensor in step.outputs:
            if name in results:
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
        tensors = self._tensors
        results = {name: tensors[name] for name in self._plan.outputs if name in tensors}
        for name in self._plan.passed & results.keys():
            # It may lie in memory that a client still writes to, or takes away.
            results[name] = results[name].copy()
        self._owner.answer(self, results)

    def fail(self, error: Exception, reason: str) -> None:
        """Answer with an error and give up what is still under way."""
        if self.ended:
            return
        self.ended = True
        in_flight, self._in_flight = self._in_flight, {}
        for model, sent in in_flight.values():
            model.request_gone(sent)
        if self._parts:
            for part in self._parts:
                part.fail(error, reason)
        else:
            self._owner.fail(self, error, reason)

    def _explained(self, error: Exception) -> DespinaError:
        if not isinstance(error, DespinaError):
            return Internal(f"in ensemble '{self._owner.name}', {error}")
        message = f"in ensemble '{self._owner.name}', {error.message}"
        if isinstance(error, Unavailable):
            return Unavailable(message, error.retry_after)
        return type(error)(message)
