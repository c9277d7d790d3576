"""An ensemble's configuration as what its scheduler runs, and the labels its outputs get from its steps."""

from collections.abc import Callable, Mapping

from despina.config.dims import model_dims
from despina.config.proto import ModelConfig
from despina.errors import DespinaError
from despina.models.ensemble_fit import LATEST
from despina.scheduling.ensemble_graph import EnsembleGraph, Step
from despina.scheduling.ensemble_step import FindModel

LabelsOf = Callable[[str, int | None], Mapping[str, list[str]]]
"""Model and version (None: the latest) → labels by output. Raises NotFound, Unavailable."""


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


def step_labels(graph: EnsembleGraph, labels_of: LabelsOf) -> dict[str, list[str]]:
    """The labels that the outputs of an ensemble have in the steps that make them (config §6.2). A step that is not
    there has none."""
    labels: dict[str, list[str]] = {}
    for step in graph.steps:
        wanted = {name: tensor for name, tensor in step.outputs if tensor in graph.outputs}
        if not wanted:
            continue
        try:
            known = labels_of(step.model, step.version)
        except DespinaError:
            continue
        labels |= {tensor: known[name] for name, tensor in wanted.items() if name in known}
    return labels


def step_origins(graph: EnsembleGraph, find_model: FindModel) -> object:
    """What the answers of an ensemble depend on: which loaded versions run its steps. Like nothing else when one of
    them is not there."""
    try:
        return tuple([find_model(step.model, step.version).origin for step in graph.steps])
    except DespinaError:
        return object()
