"""The steps of an ensemble as a graph, and which of them a request needs.

A step can run when every tensor it reads exists. So nothing but the tensors orders the steps, and a request that wants
only some of the outputs leaves out whatever does not lead to them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a model, in a version or the latest (None), and its tensors as (its name, name in the ensemble)."""

    model: str
    version: int | None
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EnsembleGraph:
    """An ensemble without cycles in which every tensor is made once. `max_inflight` bounds the unanswered requests of
    each step, 0 for no bound; `batches` is whether the first dimension of its tensors counts rows. `ranks` are the
    numbers of dimensions of its outputs, without that one."""

    name: str
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    batches: bool = True
    max_inflight: int = 0
    ranks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that is going to run. `outputs` are those of its outputs that somebody reads, `wanted` their names as its
    model has them, in order; `waits_for` is how many of the tensors it reads are made by other steps."""

    index: int
    step: Step
    outputs: tuple[tuple[str, str], ...]
    wanted: tuple[str, ...]
    waits_for: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that lead to `outputs`, of which those in `passed` are inputs of the ensemble as well; `readers` maps a
    tensor to the steps that wait for it, `waits_for` a step's index to how many tensors it waits for."""

    outputs: tuple[str, ...]
    passed: frozenset[str]
    steps: tuple[PlannedStep, ...]
    readers: Mapping[str, tuple[PlannedStep, ...]]
    waits_for: Mapping[int, int]


def make_plan(graph: EnsembleGraph, outputs: Iterable[str]) -> Plan:
    """What to run for `outputs`, which are outputs of the ensemble."""
    wanted = tuple(outputs)
    makers = {tensor: index for index, step in enumerate(graph.steps) for _, tensor in step.outputs}
    needed: set[int] = set()
    read: set[str] = set()
    pending = list(wanted)
    while pending:
        tensor = pending.pop()
        if tensor not in read:
            read.add(tensor)
            if tensor in makers:
                needed.add(makers[tensor])
                pending.extend(source for _, source in graph.steps[makers[tensor]].inputs)
    planned = tuple(_planned(graph, index, read, makers) for index in sorted(needed))
    readers: dict[str, tuple[PlannedStep, ...]] = {}
    for step in planned:
        for tensor in {source for _, source in step.step.inputs if source in makers}:
            readers[tensor] = (*readers.get(tensor, ()), step)
    passed = frozenset(wanted) - makers.keys()
    return Plan(wanted, passed, planned, readers, {step.index: step.waits_for for step in planned})


def _planned(graph: EnsembleGraph, index: int, read: set[str], makers: Mapping[str, int]) -> PlannedStep:
    step = graph.steps[index]
    outputs = tuple((name, tensor) for name, tensor in step.outputs if tensor in read)
    wanted = tuple(sorted(name for name, _ in outputs))
    return PlannedStep(index, step, outputs, wanted, len({source for _, source in step.inputs if source in makers}))
