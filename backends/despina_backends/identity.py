"""The smallest backend: every output is a copy of an input. A template for new backends, and a test double.

It needs no model file. The `parameters` of the model's configuration say what it looks like:

    input, output     comma-separated names, matched by position    default INPUT0 and OUTPUT0
    datatype          of all tensors                                default FP32
    shape             of all tensors, with the batch dimension      default -1,-1
    execute_delay_us  how long an execution takes at least          default 0
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from despina_backends.base import Array, BackendError, Batch, Device, Execution, LoadOptions, TensorMetadata


def load(options: LoadOptions) -> "IdentityBackend":
    """A `BackendFactory`. Raises BackendError when the parameters contradict each other."""
    return IdentityBackend(options)


class IdentityBackend:
    """Tensors and delay as the parameters say; see the module."""

    steady = True

    def __init__(self, options: LoadOptions) -> None:
        parameters = options.parameters or {}
        datatype = parameters.get("datatype", "FP32")
        shape = _integers("shape", parameters.get("shape", "-1,-1"))
        inputs = parameters.get("input", "INPUT0").split(",")
        outputs = parameters.get("output", "OUTPUT0").split(",")
        if len(inputs) != len(outputs):
            counts = f"got {len(inputs)} inputs and {len(outputs)} outputs"
            message = f"model '{options.model_name}': expected as many outputs as inputs, {counts}"
            raise BackendError(message, "INVALID_ARG")
        self.inputs: Mapping[str, TensorMetadata] = {name: TensorMetadata(name, datatype, shape) for name in inputs}
        self.outputs: Mapping[str, TensorMetadata] = {name: TensorMetadata(name, datatype, shape) for name in outputs}
        (delay_us,) = _integers("execute_delay_us", parameters.get("execute_delay_us", "0"))
        self._delay_seconds = delay_us / 1e6

    def instance(self, device: Device) -> "IdentityInstance":
        return IdentityInstance(dict(zip(self.outputs, self.inputs, strict=True)), self._delay_seconds)

    def close(self) -> None:
        """There is nothing to free."""


class IdentityInstance:
    """Copies `sources[output]` to each output."""

    def __init__(self, sources: Mapping[str, str], delay_seconds: float) -> None:
        self._sources = sources
        self._delay_seconds = delay_seconds

    def execute(self, batch: Batch) -> Execution:
        names: Sequence[str] = tuple(self._sources) if batch.outputs is None else batch.outputs
        placed: dict[str, Array] = {name: np.concatenate(parts) for name, parts in batch.inputs.items()}
        input_end_ns = time.monotonic_ns()
        if self._delay_seconds:
            time.sleep(self._delay_seconds)
        outputs = {name: placed[self._sources[name]].copy() for name in names}
        return Execution(outputs, input_end_ns, time.monotonic_ns())

    def close(self) -> None:
        """There is nothing to free."""


def _integers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BackendError(f"parameter '{name}': expected integers, got '{text}'", "INVALID_ARG") from None
