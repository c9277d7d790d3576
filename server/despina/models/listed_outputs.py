"""A model may have more outputs than its configuration lists. Nobody can ask for those, so they are not computed, nor
must it matter how many rows they have."""

from dataclasses import replace

from despina.config.proto import ModelConfig
from despina_backends.base import Backend, Batch, Execution, Instance


class ListedOutputs:
    """`inner`, whose executions for all outputs give those in `names`."""

    def __init__(self, inner: Instance, names: tuple[str, ...]) -> None:
        self._inner = inner
        self._names = names

    def execute(self, batch: Batch) -> Execution:
        """Raises BackendError."""
        return self._inner.execute(replace(batch, outputs=self._names) if batch.outputs is None else batch)

    def close(self) -> None:
        self._inner.close()


def with_listed_outputs(instance: Instance, config: ModelConfig, backend: Backend) -> Instance:
    """`instance` itself for nearly all models. States count as listed."""
    states = [state.output_name for state in config.sequence_batching.state]
    listed = dict.fromkeys([*(output.name for output in config.output), *states])
    return instance if backend.outputs.keys() <= listed.keys() else ListedOutputs(instance, tuple(listed))
