"""The part of ONNX Runtime's session that instances use; what a test double has to offer."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from despina_backends.base import Array
from despina_backends.onnxruntime.metadata import NodeArg

CREATION = threading.Lock()
"""Held while a session is created, because concurrent creation races where sessions register custom operators, and each
would take all cores to optimise; and while CUDA graphs are recorded, see `recording`."""


class Value(Protocol):
    """An `OrtValue` in host memory."""

    def numpy(self) -> Array: ...
    def shape(self) -> Sequence[int]: ...
    def data_ptr(self) -> int: ...


class Binding(Protocol):
    """An `IOBinding`. It keeps no reference to memory bound by pointer."""

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None: ...

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None: ...

    def get_outputs(self) -> Sequence[Value]: ...


class Session(Protocol):
    """An `InferenceSession`."""

    def get_inputs(self) -> Sequence[NodeArg]: ...
    def get_outputs(self) -> Sequence[NodeArg]: ...
    def get_overridable_initializers(self) -> Sequence[NodeArg]: ...
    def get_providers(self) -> Sequence[str]: ...
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array], run_options: Any = None
    ) -> Sequence[Array]: ...
    def io_binding(self) -> Binding: ...
    def run_with_iobinding(self, iobinding: Binding, run_options: Any = None) -> None: ...
