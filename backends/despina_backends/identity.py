"""The smallest backend: every output is a copy of an input. A template for new backends, and a test double.

It needs no model file: its tensors are those of the model's configuration, matched by position. Where that names none,
the configuration's `parameters` say what the model looks like. They also say how long things take:

    input, output     comma-separated names                         default INPUT0 and OUTPUT0
    datatype          of all tensors                                default FP32
    shape             of all tensors, with the batch dimension      default -1,-1
    execute_delay_us  how long an execution takes at least          default 0
    execute_delay_ms  the same in milliseconds, and
    instance_wise_delay_multiplier  times this times the index of the instance, where that is not zero
    creation_delay_sec              how long loading takes at least

An output whose input is optional and missing is all zeros, with 1 for what the configuration leaves open.
"""

import itertools
import time
from collections.abc import Mapping, Sequence

import numpy as np

from despina_backends.base import Array, BackendError, Batch, Device, Execution, LoadOptions, TensorMetadata, zeros
from despina_backends.dtypes import numpy_dtype


def load(options: LoadOptions) -> "IdentityBackend":
    """A `BackendFactory`. Raises BackendError when the parameters contradict each other."""
    return IdentityBackend(options)


class IdentityBackend:
    """Tensors and delays as the configuration says; see the module."""

    steady = True

    def __init__(self, options: LoadOptions) -> None:
        parameters = options.parameters
        inputs = options.inputs or _tensors(parameters, "input", "INPUT0")
        outputs = options.outputs or _tensors(parameters, "output", "OUTPUT0")
        if len(inputs) != len(outputs):
            counts = f"got {len(inputs)} inputs and {len(outputs)} outputs"
            message = f"model '{options.model_name}': expected as many outputs as inputs, {counts}"
            raise BackendError(message, "INVALID_ARG")
        self.inputs: Mapping[str, TensorMetadata] = {tensor.name: tensor for tensor in inputs}
        self.outputs: Mapping[str, TensorMetadata] = {tensor.name: tensor for tensor in outputs}
        milliseconds, microseconds = _integer(parameters, "execute_delay_ms"), _integer(parameters, "execute_delay_us")
        self._delay_seconds = milliseconds / 1e3 + microseconds / 1e6
        self._multiplier = _integer(parameters, "instance_wise_delay_multiplier")
        self._indices = itertools.count()
        time.sleep(_integer(parameters, "creation_delay_sec"))

    def instance(self, device: Device) -> "IdentityInstance":
        times = max(1, self._multiplier * next(self._indices))
        return IdentityInstance(dict(zip(self.outputs, self.inputs.values(), strict=True)), times * self._delay_seconds)

    def close(self) -> None:
        """There is nothing to free."""


class IdentityInstance:
    """Copies `sources[output]` to each output."""

    def __init__(self, sources: Mapping[str, TensorMetadata], delay_seconds: float) -> None:
        self._sources = sources
        self._delay_seconds = delay_seconds

    def execute(self, batch: Batch) -> Execution:
        names: Sequence[str] = tuple(self._sources) if batch.outputs is None else batch.outputs
        placed: dict[str, Array] = {name: np.concatenate(parts) for name, parts in batch.inputs.items()}
        input_end_ns = time.monotonic_ns()
        if self._delay_seconds:
            time.sleep(self._delay_seconds)
        outputs = {name: self._copy(self._sources[name], placed, batch.rows) for name in names}
        return Execution(outputs, input_end_ns, time.monotonic_ns())

    def _copy(self, source: TensorMetadata, placed: Mapping[str, Array], rows: int) -> Array:
        return placed[source.name].copy() if source.name in placed else _zeros(source, rows)

    def close(self) -> None:
        """There is nothing to free."""


def _zeros(tensor: TensorMetadata, rows: int) -> Array:
    """`rows` is 0 without a batch dimension."""
    shape = [1 if size == -1 else size for size in tensor.shape]
    if rows:
        shape[0] = rows
    return zeros(shape, numpy_dtype(tensor))


def _tensors(parameters: Mapping[str, str], name: str, default: str) -> list[TensorMetadata]:
    datatype = parameters.get("datatype", "FP32")
    shape = _integers("shape", parameters.get("shape", "-1,-1"))
    return [TensorMetadata(tensor, datatype, shape) for tensor in parameters.get(name, default).split(",")]


def _integer(parameters: Mapping[str, str], name: str) -> int:
    (value,) = _integers(name, parameters.get(name, "0"))
    return value


def _integers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BackendError(f"parameter '{name}': expected integers, got '{text}'", "INVALID_ARG") from None
