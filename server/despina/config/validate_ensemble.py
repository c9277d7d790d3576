"""Checks of an ensemble that need only its own configuration (config §6.2).

An ensemble is a graph of tensors: its inputs exist from the start, a step runs when all tensors in its input_map exist
and then makes those in its output_map. Whether the steps' models fit is a question for the time when they are loaded.
"""

from dataclasses import dataclass, field

from despina.config.names import ENSEMBLE
from despina.config.proto import Message, ModelConfig
from despina.errors import InvalidArgument


def validate_ensemble(config: ModelConfig) -> None:
    """Raises InvalidArgument."""
    if config.platform != ENSEMBLE:
        if config.HasField("ensemble_scheduling"):
            raise InvalidArgument(
                f"ensemble scheduling cannot be set for model '{config.name}' whose platform is not ensemble"
            )
        return
    _validate_form(config)
    _validate_steps(config)
    _validate_graph(config)


def _validate_form(config: ModelConfig) -> None:
    if config.instance_group:
        raise InvalidArgument(f"instance group should not be specified for ensemble '{config.name}'")
    if config.HasField("optimization"):
        raise InvalidArgument(f"optimization should not be specified for ensemble '{config.name}'")
    if config.model_warmup:
        raise InvalidArgument(f"model_warmup can not be specified for ensemble '{config.name}'")
    if not config.HasField("ensemble_scheduling"):
        raise InvalidArgument(f"ensemble scheduling must be set for ensemble {config.name} whose platform is ensemble")


def _validate_steps(config: ModelConfig) -> None:
    if not config.ensemble_scheduling.step:
        raise InvalidArgument(f"must specify 'step' for ensemble '{config.name}'")
    for index, step in enumerate(config.ensemble_scheduling.step):
        for name in ("model_name", "input_map", "output_map"):
            if not getattr(step, name):
                raise InvalidArgument(f"must specify '{name}' in step {index} of ensemble '{config.name}'")


@dataclass(slots=True)
class _Tensor:
    """A tensor of the graph: what it is made from, whether some step reads it, whether it ever comes into being."""

    sources: tuple[str, ...] = ()
    is_written: bool = False
    is_read: bool = False
    is_ready: bool = False


@dataclass(slots=True)
class _Graph:
    tensors: dict[str, _Tensor] = field(default_factory=dict)

    def tensor(self, name: str) -> _Tensor:
        return self.tensors.setdefault(name, _Tensor())

    def add(self, step: Message, where: str) -> None:
        sources = tuple(sorted(step.input_map.values()))
        for name in sources:
            self.tensor(name).is_read = True
        for name in step.output_map.values():
            tensor = self.tensor(name)
            if tensor.is_written:
                raise InvalidArgument(f"ensemble tensor '{name}' can appear in an output map only once for {where}")
            tensor.is_written = True
            tensor.sources = sources

    def flow(self, inputs: list[str]) -> None:
        """Mark every tensor that can come into being from `inputs`."""
        for name in inputs:
            self.tensors[name].is_ready = True
        progress = True
        while progress:
            progress = False
            for tensor in self.tensors.values():
                if tensor.is_written and not tensor.is_ready and not self.missing(tensor):
                    tensor.is_ready = progress = True

    def missing(self, tensor: _Tensor) -> list[str]:
        return [name for name in tensor.sources if not self.tensors[name].is_ready]


def _validate_graph(config: ModelConfig) -> None:
    graph = _Graph()
    for index, step in enumerate(config.ensemble_scheduling.step):
        graph.add(step, f"ensemble '{config.name}' step {index}")
    inputs = [tensor.name for tensor in config.input]
    for name in inputs:
        if name not in graph.tensors or not graph.tensors[name].is_read:
            raise InvalidArgument(f"ensemble input '{name}' for ensemble {config.name}' is not used")
    graph.flow(inputs)
    for output in config.output:
        _validate_output(output.name, graph, config.name)
    outputs = {output.name for output in config.output}
    for name, tensor in graph.tensors.items():
        if name not in outputs and not (tensor.is_ready and tensor.is_read):
            raise InvalidArgument(f"ensemble tensor '{name}' is unused in ensemble '{config.name}'")


def _validate_output(name: str, graph: _Graph, model: str) -> None:
    tensor = graph.tensors.get(name)
    if tensor is None:
        raise InvalidArgument(f"ensemble output '{name}' for ensemble {model}' is not used")
    if not tensor.is_ready:
        reason = ""
        if missing := graph.missing(tensor):
            reason = f": at least one of its depending tensors, '{missing[0]}', is not connected"
        raise InvalidArgument(f"output '{name}' for ensemble '{model}' is not written{reason}")
