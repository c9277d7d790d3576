"""What a backend is: something that loads a model version and executes batches on a device.

A backend is made once per loaded model version, then asked for one `Instance` per entry of the instance groups. The
server runs each instance from one thread at a time, so an instance needs no locks; `execute` must release the GIL
while it computes. Datatypes are the protocol's names (`FP32`, `INT64`, `BYTES`, ...). Arrays:

- a `BYTES` tensor is an object array whose elements are `bytes`. A backend that has an attribute `takes_text` which is
  true may also be given arrays of nothing but `str`, and when all those of a batch are, its outputs may be so, too;
- a `BF16` tensor is a `uint16` array holding the raw bits;
- everything else is the numpy dtype of the same size and kind, little-endian and C-contiguous.

The package needs numpy only and never imports the server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

ErrorCode = Literal["INTERNAL", "INVALID_ARG", "NOT_FOUND", "UNAVAILABLE", "UNSUPPORTED"]


class BackendError(Exception):
    """A failure with a message for the client; `code` is the protocol's error code."""

    def __init__(self, message: str, code: ErrorCode = "INTERNAL") -> None:
        super().__init__(message)
        self.message = message
        self.code: ErrorCode = code


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """A tensor as the model itself declares it: `shape` includes the batch dimension, -1 is a variable dimension.
    `optional` is an input that executions may lack."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """Where an instance runs. `id` counts GPUs in PCI order and is 0 for the CPU."""

    kind: Literal["CPU", "GPU"]
    id: int = 0


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Everything a backend may need to load a model version.

    `path` is the model file (or directory) of the version. `parameters` are the `parameters` of the model's
    configuration, `backend_config` the server's `--backend-config` settings for this backend. `cpu_instance_count` is
    the number of instances the server is going to create on CPU, for dividing the cores among them, all but
    `spare_cores`; where nobody asked for so many, `cpu_instances_asked` is False, and a backend may have a
    `cpu_instances` that is lower.
    `first_gpu` is the GPU of the first instance on one.
    `accelerators` holds (name, parameters) per requested execution accelerator, for "CPU" and "GPU" instances.
    `inputs` and `outputs` are the tensors the configuration names, as a model would declare them; a configuration that
    is completed from the model may name none.
    """

    model_name: str
    path: Path
    max_batch_size: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    backend_config: Mapping[str, str] = field(default_factory=dict)
    accelerators: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]] = field(default_factory=dict)
    graph_optimization_level: int = 0
    op_library_paths: Sequence[str] = ()
    pinned_input: bool = True
    pinned_output: bool = True
    cpu_instance_count: int = 1
    first_gpu: int = 0
    cpu_instances_asked: bool = True
    spare_cores: int = 0
    inputs: Sequence[TensorMetadata] = ()
    outputs: Sequence[TensorMetadata] = ()


@dataclass(slots=True)
class Batch:
    """One execution.

    `inputs` maps each input to its parts, one array per request in request order, to be concatenated along axis 0
    (`rows` is the sum of their first dimensions). For a model without a batch dimension there is exactly one part and
    `rows` is 0. Optional inputs that the requests lack are missing. `outputs` names the outputs somebody asked for;
    None means all.
    """

    inputs: Mapping[str, Sequence[Array]]
    rows: int
    outputs: Sequence[str] | None = None


@dataclass(slots=True)
class Execution:
    """What an execution produced: whole-batch arrays the backend never touches again, and the clock
    (`time.monotonic_ns`) when the inputs were in place and when the computation ended. An output that cannot be made
    because an optional input is missing is left out."""

    outputs: Mapping[str, Array]
    input_end_ns: int
    infer_end_ns: int


class Instance(Protocol):
    """One execution context, driven by one thread at a time."""

    def execute(self, batch: Batch) -> Execution:
        """Run one batch. Raises BackendError; the instance stays usable."""
        ...

    def close(self) -> None:
        """Free the context. Called once, after the last execute."""
        ...


class Backend(Protocol):
    """One loaded model version."""

    @property
    def inputs(self) -> Mapping[str, TensorMetadata]: ...

    @property
    def outputs(self) -> Mapping[str, TensorMetadata]: ...

    @property
    def steady(self) -> bool:
        """Whether the time of an execution follows from the shapes of its inputs alone, never from their values."""
        ...

    def instance(self, device: Device) -> Instance:
        """Create an execution context on `device`. Raises BackendError when the device cannot be used."""
        ...

    def close(self) -> None:
        """Free what the instances shared."""
        ...


class BackendFactory(Protocol):
    """`load(options)`: what the name of a backend resolves to. Raises BackendError."""

    def __call__(self, options: LoadOptions) -> Backend: ...


def zeros(shape: Sequence[int], dtype: np.dtype[np.generic]) -> Array:
    """An array of zeros, or of empty strings for the dtype of BYTES tensors."""
    return np.full(shape, b"", dtype) if dtype.hasobject else np.zeros(shape, dtype)
