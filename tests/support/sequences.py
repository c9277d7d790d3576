"""A sequence scheduler over instances that finish when told to, and a model that adds up what its sequences send."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.clocks import MS

from despina.errors import DespinaError
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import QueueLimits
from despina.scheduling.sequence_plan import (
    CorrelationControl,
    DirectStrategy,
    FlagControl,
    OldestStrategy,
    SequencePlan,
    StateTensor,
)
from despina.scheduling.sequence_scheduler import SequenceScheduler
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Batch, Execution


def flag(kind: str, shape: tuple[int, ...] = (1, 1)) -> FlagControl:
    return FlagControl(kind, kind, np.zeros(shape, "<i4"), np.ones(shape, "<i4"))


PLAN = SequencePlan(
    "m",
    max_batch_size=4,
    idle_ns=1000 * MS,
    flags=(flag("START"), flag("END"), flag("READY")),
    correlation=CorrelationControl("CORRID", "UINT64"),
    states=(StateTensor("STATE", "NEW", np.zeros((1, 1), "<i4")),),
)


def direct(max_batch_size: int = 4, delay_ms: int = 0, utilization: float = 0.0) -> SequencePlan:
    return replace(PLAN, max_batch_size=max_batch_size, strategy=DirectStrategy(delay_ms * MS, utilization))


def oldest(candidates: int = 4, preferred: tuple[int, ...] = (), delay_ms: int = 0) -> SequencePlan:
    return replace(PLAN, strategy=OldestStrategy(candidates, BatchPolicy(4, preferred, delay_ms * MS)))


BOTH = pytest.mark.parametrize("plan", [direct(), oldest()], ids=["direct", "oldest"])
ONE_SLOT = pytest.mark.parametrize("plan", [direct(1), oldest(1)], ids=["direct", "oldest"])


class Run:
    """An execution under way."""

    def __init__(self, runner: str, batch: Batch, size: int, done: Callable[[Outcome], None], started_ns: int) -> None:
        self.runner = runner
        self.batch = batch
        self.size = size
        self.done = done
        self.started_ns = started_ns

    def __getitem__(self, name: str) -> list[Any]:
        """The values of an input, a row each."""
        return [part.reshape(-1)[0].item() for part in self.batch.inputs[name]]

    def result(self) -> dict[str, Any]:
        fed = {name: np.concatenate(parts) for name, parts in self.batch.inputs.items()}
        total = np.where(fed["START"] == 1, 0, fed["STATE"]) + fed["IN"]
        return {"SUM": total, "NEW": total.copy()}


class FakeRunner:
    def __init__(self, name: str, stage: "SequenceStage") -> None:
        self.name = name
        self._stage = stage

    def run(self, batch: Batch, size: int, done: Callable[[Outcome], None]) -> None:
        stage = self._stage
        run = Run(self.name, batch, size, done, stage.clock.now_ns())
        stage.running.append(run)
        stage.ran.append(run["CORRID"])
        if stage.inline:
            stage.finish()


class SequenceStage:
    """`ran` lists the correlation ids of the rows of all executions so far, 0 for a row without a request."""

    def __init__(
        self,
        clock: Any,
        plan: SequencePlan = PLAN,
        instances: int = 1,
        limits: QueueLimits | None = None,
        **hold: int,
    ) -> None:
        self.clock = clock
        self.statistics = ModelStatistics()
        self.running: list[Run] = []
        self.ran: list[list[Any]] = []
        self.answered: list[Pending] = []
        self.inline = False
        self.runners: list[Any] = [FakeRunner(f"instance_{number}", self) for number in range(instances)]
        self.scheduler = SequenceScheduler(plan, self.runners, clock, self.statistics, limits or QueueLimits(), **hold)

    def submit(
        self, sequence: int | str, value: int = 1, flags: str = "", *, settle: bool = True, **more: Any
    ) -> Pending:
        """`flags`: "s" for START, "e" for END."""
        pending = Pending(
            {"IN": np.full((1, 1), value, "<i4")},
            1,
            self.answered.append,
            correlation_id=sequence,
            sequence_start="s" in flags,
            sequence_end="e" in flags,
            accepted_ns=self.clock.now_ns(),
        )
        for name, setting in more.items():
            setattr(pending, name, setting)
        self.scheduler.submit(pending)
        if settle:
            self.clock.settle()
        return pending

    def finish(self, index: int = 0, error: DespinaError | None = None) -> Run:
        """End an execution."""
        run = self.running.pop(index)
        now = self.clock.now_ns()
        outcome = Outcome(run.started_ns, error=error)
        run.done(outcome if error else Outcome(run.started_ns, Execution(run.result(), now, now)))
        if not self.inline:
            self.clock.settle()
        return run

    def finish_all(self) -> None:
        while self.running:
            self.finish()

    def sums(self) -> list[int | None]:
        """The answers so far; None for a failure."""
        return [None if pending.results is None else int(pending.results["SUM"][0, 0]) for pending in self.answered]
