"""An ensemble over models that answer when they are told to."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from tests.support.clocks import VirtualClock

from despina.errors import DespinaError, NotFound
from despina.scheduling.ensemble import EnsembleScheduler
from despina.scheduling.ensemble_graph import EnsembleGraph, Step
from despina.scheduling.ensemble_step import StepRequest
from despina.scheduling.pending import Pending
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Array


@dataclass
class FakeModel:
    """Adds 1 to its input; `calls` are the requests that wait for an answer."""

    step_rows: int = 0
    labels: dict[str, list[str]] = field(default_factory=dict)
    refuses: DespinaError | None = None
    refuses_many: DespinaError | None = None
    at_once: bool = False
    calls: list[tuple[StepRequest, Pending]] = field(default_factory=list)
    seen: list[StepRequest] = field(default_factory=list)
    gone: list[Pending] = field(default_factory=list)

    def submit_step(self, request: StepRequest, on_done: Callable[[Pending], None]) -> Pending:
        if self.refuses is not None:
            raise self.refuses
        if self.refuses_many is not None and request.count > 1:
            raise self.refuses_many
        pending = Pending(request.inputs, 1, on_done, count=request.count)
        self.seen.append(request)
        self.calls.append((request, pending))
        if self.at_once:
            self.answer()
        return pending

    def answer(self, error: DespinaError | None = None) -> None:
        request, pending = self.calls.pop(0)
        if error is not None:
            pending.fail(error)
            return
        pending.started_ns, pending.input_end_ns, pending.infer_end_ns = 100, 107, 120
        value = sum(request.inputs.values())
        pending.succeed(dict.fromkeys(request.outputs, value + 1))

    def client_results(self, pending: Pending) -> dict[str, Array]:
        return dict(pending.results or {})

    def request_gone(self, pending: Pending) -> None:
        self.gone.append(pending)


@dataclass
class Play:
    scheduler: EnsembleScheduler
    models: dict[str, FakeModel]
    statistics: ModelStatistics
    clock: VirtualClock
    answered: list[Pending] = field(default_factory=list)

    def submit(self, rows: int = 1, inputs: tuple[str, ...] = ("in",), **more: object) -> Pending:
        arrays = {name: np.zeros((rows, 1), np.float32) for name in inputs}
        pending = Pending(arrays, rows, self.answered.append, accepted_ns=self.clock.now_ns(), **more)
        self.scheduler.submit(pending)
        return pending


CHAIN = (("a", "in", "t"), ("b", "t", "u"), ("c", "u", "out"))
FAN = (("a", "in", "t"), ("b", "t", "left"), ("c", "t", "right"), ("d", "left right", "out"))


def make_play(clock: VirtualClock, steps=CHAIN, outputs=("out",), joins=False, **graph: object) -> Play:
    """An ensemble of `steps`, each a model, what it reads and what it writes."""
    made = tuple(
        Step(model, None, tuple((f"x{i}", t) for i, t in enumerate(reads.split())), ((f"y_{writes}", writes),))
        for model, reads, writes in steps
    )
    models = {model: FakeModel() for model, _, _ in steps}

    def find(name: str, version: int | None) -> FakeModel:
        if name not in models:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        return models[name]

    statistics = ModelStatistics()
    scheduler = EnsembleScheduler(EnsembleGraph("e", outputs, made, **graph), find, clock, statistics, joins=joins)
    return Play(scheduler, models, statistics, clock)
