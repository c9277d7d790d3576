"""The infer request and response as plain data, between the wire and the model."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from despina.errors import request_label
from despina.shared_memory.window import SharedMemory, Window

Array = NDArray[np.generic]

Parameter = bool | int | float | str


@dataclass(slots=True)
class InferInput:
    """One input as the client described it.

    `data` is the raw bytes of a binary tensor, or where in shared memory they are, or the flat array that JSON data was
    turned into.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: memoryview | Array | Window


@dataclass(slots=True)
class RequestedOutput:
    """How one output shall come back: as JSON, as binary data, as `classification` best classes, or written to shared
    memory, where a request that is under way has found its window. A `classification` of 0 means none."""

    name: str
    binary: bool = False
    classification: int = 0
    shared_memory: Window | SharedMemory | None = None


@dataclass(slots=True)
class InferRequest:
    """A decoded request. `outputs` is empty when the client named none: then all come back, as binary data when
    `binary_output` is set. `timeout_us` and `priority` are 0 when absent; `correlation_id` is 0 or "" when absent."""

    id: str = ""
    inputs: list[InferInput] = field(default_factory=list)
    outputs: list[RequestedOutput] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    binary_output: bool = False
    correlation_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    priority: int = 0
    timeout_us: int = 0
    raw: bool = False

    @property
    def label(self) -> str:
        """The prefix many error texts carry."""
        return request_label(self.id)


@dataclass(slots=True)
class OutputTensor:
    """One output of a response: `array` has the shape the client sees."""

    name: str
    datatype: str
    array: Array
