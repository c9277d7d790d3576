"""A backend may answer with an input itself, and that may be memory that a client still writes to, or takes away. An
answer must not be: sorting values that change may lead anywhere, and while a page that is gone is sent, the kernel
reports an error instead of a signal, and the connection is lost."""

from dataclasses import replace

import numpy as np

from despina.config.names import ONNXRUNTIME
from despina.shared_memory.guarded_map import is_shared
from despina_backends.base import Array, Batch, Execution, Instance


class OwnOutputs:
    """`inner`, whose outputs that somebody outside can change are copied."""

    def __init__(self, inner: Instance) -> None:
        self._inner = inner

    def execute(self, batch: Batch) -> Execution:
        """Raises BackendError."""
        execution = self._inner.execute(batch)
        if not isinstance(execution, Execution):  # For the runner to say: a backend may be anybody's.
            return execution
        outputs = execution.outputs
        copies = {name: array.copy() for name, array in outputs.items() if _is_shared(array)}
        return replace(execution, outputs={**outputs, **copies}) if copies else execution

    def close(self) -> None:
        self._inner.close()


def _is_shared(array: Array) -> bool:
    return isinstance(array, np.ndarray) and is_shared(array)


def with_own_outputs(instance: Instance, backend: str) -> Instance:
    """`instance` itself where it is of ONNX Runtime, which makes all its outputs."""
    return instance if backend == ONNXRUNTIME else OwnOutputs(instance)
