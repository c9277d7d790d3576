"""Instances that finish when told to, and a batcher in front of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from tests.support.clocks import MS, VirtualClock
from tests.support.ensembles import make_play

from despina.errors import DespinaError
from despina.scheduling.answers import Answers, OrderedAnswers
from despina.scheduling.batch_policy import BatchPolicy, next_batch
from despina.scheduling.batcher import Batcher, BatcherOptions
from despina.scheduling.fastest_batch import FastestBatch
from despina.scheduling.outbox import Outbox
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.policy_queue import PolicyQueue, QueueRules
from despina.scheduling.request_queue import FifoQueue, QueueLimits
from despina.scheduling.slo import SloQueue
from despina.scheduling.waiting_batches import one_at_a_time
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Batch, Execution

EIGHT = BatchPolicy(8)
NO_LIMITS = QueueLimits()


@dataclass(eq=False)
class Run:
    """An execution under way, on the runner named `runner`."""

    runner: str
    batch: Batch
    rows: int
    size: int
    started_ns: int
    done: Callable[[Outcome], None]


class FakeRunner:
    def __init__(self, name: str, stage: "Stage") -> None:
        self.name = name
        self.overlaps = False
        self._stage = stage

    def run(self, batch: Batch, size: int, done: Callable[[Outcome], None]) -> None:
        rows = batch.rows or 1
        run = Run(self.name, batch, rows, size, self._stage.clock.now_ns(), done)
        self._stage.running.append(run)
        self._stage.ran.append(rows)
        if self._stage.run_time_ns is not None:
            self._stage.clock.call_at(run.started_ns + self._stage.run_time_ns(rows), lambda: self._stage.end(run))
        if self._stage.inline:
            self._stage.finish()


@dataclass
class Stage:
    """A batcher over fake instances. `ran` lists the rows of all executions so far, `answered` the requests in the
    order of their answers."""

    clock: VirtualClock
    statistics: ModelStatistics
    running: list[Run] = field(default_factory=list)
    ran: list[int] = field(default_factory=list)
    answered: list[Pending] = field(default_factory=list)
    inline: bool = False
    run_time_ns: Callable[[int], int] | None = None
    runners: list[FakeRunner] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batcher: Batcher

    def submit(
        self,
        rows: int = 1,
        *,
        settle: bool = True,
        value: float = 0.0,
        on_answer: Callable[[Pending], object] | None = None,
        **more: object,
    ) -> Pending:
        inputs = {"IN": np.full((rows, 2), value, np.float32)}
        pending = Pending(
            inputs, rows, on_answer or self.answered.append, byte_size=rows * 8, accepted_ns=self.clock.now_ns(), **more
        )
        self.batcher.submit(pending)
        if settle:
            self.clock.settle()
        return pending

    def plug(self, count: int = 1) -> None:
        """Occupy `count` instances."""
        for _ in range(count):
            self.submit()
        self.ran.clear()

    def finish(self, index: int = 0, outputs: object = None, error: DespinaError | None = None) -> Run:
        """End an execution; without `outputs` they repeat the input."""
        run = self.running.pop(index)
        now = self.clock.now_ns()
        if error is not None:
            run.done(Outcome(run.started_ns, error=error))
        else:
            made = {"OUT": np.concatenate(run.batch.inputs["IN"])} if outputs is None else outputs
            run.done(Outcome(run.started_ns, Execution(made, now, now)))
        if not self.inline:
            self.clock.settle()
        return run

    def end(self, run: Run) -> None:
        """End an execution whose time is over."""
        self.finish(self.running.index(run))

    def finish_all(self) -> None:
        while self.running:
            self.finish()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make_stage(clock: VirtualClock) -> Callable[..., Stage]:
    def make(
        policy: BatchPolicy | int | None = EIGHT,
        *,
        instances: int = 1,
        rules: QueueRules | None = None,
        limits: QueueLimits = NO_LIMITS,
        ordered: bool = False,
        estimate: bool = False,
        slo_ms: float = 0,
        outbox: Outbox | None = None,
        **options: object,
    ) -> Stage:
        stage = Stage(clock, ModelStatistics())
        policy = BatchPolicy(policy) if isinstance(policy, int) else policy
        runners = stage.runners = [FakeRunner(f"instance_{number}", stage) for number in range(instances)]
        fastest = FastestBatch(policy.max_batch_size if policy else 1, instances) if estimate else None
        queue = FifoQueue(limits) if rules is None else PolicyQueue(rules, limits, fastest and fastest.wait_ns)
        answers = (OrderedAnswers if ordered else Answers)(clock, stage.statistics, outbox or Outbox(), "m")
        decide = one_at_a_time if policy is None else lambda q, now, batch: next_batch(q, now, policy, batch)
        settings = BatcherOptions(**{"prefetch": rules is None and not slo_ms, **options})
        if slo_ms:
            assert policy is not None
            slo = SloQueue(int(slo_ms * MS), policy.max_batch_size, instances, limits)
            stage.batcher = Batcher(slo, slo.decide, list(runners), clock, stage.statistics, answers, settings, slo)
            return stage
        stage.batcher = Batcher(queue, decide, list(runners), clock, stage.statistics, answers, settings, fastest)
        return stage

    return make


@pytest.fixture
def play(clock):
    return partial(make_play, clock)
