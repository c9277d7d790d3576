"""An ensemble's configuration as what its scheduler runs, and what its outputs have from its steps."""

from __future__ import annotations

from dataclasses import dataclass

from despina.config.dims import model_dims
from despina.config.proto import ModelConfig
from despina.errors import DespinaError
from despina.models.ensemble_fit import LATEST
from despina.scheduling.ensemble_graph import EnsembleGraph, Step
from despina.scheduling.ensemble_step import FindModel


@dataclass(frozen=True, slots=True)
class EnsembleSteps:
    """The steps of one ensemble and where the models that run them are found, which may be other ones every time."""

    graph: EnsembleGraph
    find_model: FindModel

    @classmethod
    def of(cls, config: ModelConfig, find_model: FindModel | None) -> EnsembleSteps | None:
        """None for a model that is no ensemble, and where there are no other models."""
        if find_model is None or not config.HasField("ensemble_scheduling"):
            return None
        return cls(ensemble_graph(config), find_model)

    def labels(self) -> dict[str, list[str]]:
        """Those that the outputs of the ensemble have in the steps that make them (config §6.2). A step that is not
        there has none."""
        labels: dict[str, list[str]] = {}
        for step in self.graph.steps:
            wanted = {name: tensor for name, tensor in step.outputs if tensor in self.graph.outputs}
            if not wanted:
                continue
            try:
                known = self.find_model(step.model, step.version).labels
            except DespinaError:
                continue
            labels |= {tensor: known[name] for name, tensor in wanted.items() if name in known}
        return labels

    def origin(self) -> object:
        """What the answers of the ensemble depend on: which loaded versions run its steps. Like nothing else when one
        of them is not there."""
        try:
            return tuple([self.find_model(step.model, step.version).origin for step in self.graph.steps])
        except DespinaError:
            return object()


def ensemble_graph(config: ModelConfig) -> EnsembleGraph:
    """The graph of a validated ensemble."""
    scheduling = config.ensemble_scheduling
    steps = tuple(
        Step(
            step.model_name,
            None if step.model_version == LATEST else step.model_version,
            tuple(sorted(step.input_map.items())),
            tuple(sorted(step.output_map.items())),
        )
        for step in scheduling.step
    )
    return EnsembleGraph(
        config.name,
        tuple(output.name for output in config.output),
        steps,
        config.max_batch_size > 0,
        scheduling.max_inflight_requests,
        {output.name: len(model_dims(output)) for output in config.output},
    )
