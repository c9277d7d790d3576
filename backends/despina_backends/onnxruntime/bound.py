"""Execution with IO binding: on a GPU, and on the CPU where a tensor has no numpy dtype (BF16).

Host memory is bound as it is. ONNX Runtime copies an input to the GPU when it is *bound* (`IOBinding::BindInput` calls
`CopyOneInputAcrossDevices`), on the stream that it keeps for the runs of the calling thread: so inputs are bound on the
thread that runs. Out of ordinary memory it waits for that, with the GIL; out of pinned memory it only queues the copy,
which then runs at the speed of the bus. Outputs go to the host inside the run, on the same stream and without the GIL.
So batches are gathered in pinned buffers, and outputs of known shape land in pinned buffers too, from which they are
copied into fresh arrays: the caller keeps those.
An execution ends with its stream synchronised, so one set of buffers is enough; to overlap copies with computation give
the model two instances, with `share_session` on one set of weights.
"""

import ctypes
import time
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from despina_backends.base import Array, BackendError, Batch, Execution, TensorMetadata
from despina_backends.dtypes import numpy_dtype
from despina_backends.onnxruntime.errors import runtime_error
from despina_backends.onnxruntime.instance import missing_inputs, refused_inputs
from despina_backends.onnxruntime.memory import Allocator
from despina_backends.onnxruntime.session import Binding, Session, Value
from despina_backends.onnxruntime.staging import Staging

_BFLOAT16 = 16
"""`onnx.TensorProto.BFLOAT16`: the binding takes a numpy dtype or this."""


class BoundInstance:
    """One session with staging buffers from two allocators, which it closes. BYTES tensors are `RunInstance`'s."""

    def __init__(
        self,
        session: Session,
        inputs: Mapping[str, TensorMetadata],
        outputs: Mapping[str, TensorMetadata],
        memory: tuple[Allocator, Allocator],
        run_options: Any = None,
    ) -> None:
        self._session: Session | None = session
        self._run_options = run_options
        self._memory = memory
        self._required = frozenset(name for name, tensor in inputs.items() if not tensor.optional)
        self._inputs = {name: Staging(tensor, memory[0]) for name, tensor in inputs.items()}
        self._outputs = {name: Staging(tensor, memory[1]) for name, tensor in outputs.items()}
        self._shapes = {name: tensor.shape for name, tensor in outputs.items() if is_predictable(tensor)}
        self._elements = {name: _element_type(tensor) for name, tensor in {**inputs, **outputs}.items()}

    def execute(self, batch: Batch) -> Execution:
        """Run one batch. Raises BackendError; see `base.Instance`."""
        if not self._required <= batch.inputs.keys():
            raise missing_inputs(self._required - batch.inputs.keys())
        try:
            feed = {name: self._inputs[name].gather(parts, batch.rows) for name, parts in batch.inputs.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise refused_inputs(batch, self._inputs, error) from error
        names = tuple(self._outputs) if batch.outputs is None else batch.outputs
        # ONNX Runtime leaves a buffer bound for an output that *is* an input as it was, and hands out the input itself
        # where none is bound.
        passed = {name: feed[name].copy() for name in names if name in feed}
        computed = [name for name in names if name not in passed]
        input_end_ns = time.monotonic_ns()
        values = self._run_expecting_shapes(feed, computed, batch.rows) if computed else {}
        return Execution({**values, **passed}, input_end_ns, time.monotonic_ns())

    def close(self) -> None:
        """Let go of the session, then of the buffers."""
        self._session = None
        self._inputs.clear()
        self._outputs.clear()
        for allocator in self._memory:
            allocator.close()

    def _run_expecting_shapes(self, feed: Mapping[str, Array], names: Sequence[str], rows: int) -> dict[str, Array]:
        """Run with the declared output shapes; if that fails, without: a model may declare what it does not keep."""
        expected = {name: self._output_buffer(name, rows) for name in names if name in self._shapes}
        expected = {name: buffer for name, buffer in expected.items() if buffer.size}
        try:
            return self._run(feed, names, expected)
        except BackendError:
            if not expected:
                raise
            values = self._run(feed, names, {})
            for name, buffer in expected.items():
                if values[name].shape != buffer.shape:
                    del self._shapes[name]
            return values

    def _run(self, feed: Mapping[str, Array], names: Sequence[str], expected: Mapping[str, Array]) -> dict[str, Array]:
        session = self._session
        if session is None:
            raise BackendError("the instance is closed", "UNAVAILABLE")
        # A fresh binding costs 1 µs and remembers nothing: no pointer of the last batch, no output it allocated.
        binding = session.io_binding()
        try:
            for name, array in feed.items():
                binding.bind_input(name, "cpu", 0, self._elements[name], array.shape, _address(array))
            for name in names:
                self._bind_output(binding, name, expected.get(name))
            session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            raise runtime_error(error) from error
        values = zip(names, binding.get_outputs(), strict=True)
        return {name: self._taken(name, value, expected.get(name)) for name, value in values}

    def _bind_output(self, binding: Binding, name: str, buffer: Array | None) -> None:
        if buffer is None:
            binding.bind_output(name, "cpu")
        else:
            binding.bind_output(name, "cpu", 0, self._elements[name], buffer.shape, _address(buffer))

    def _output_buffer(self, name: str, rows: int) -> Array:
        """Where the output is expected; an empty array when the batch does not say how large it is."""
        leading, *inner = self._shapes[name]
        count = rows if leading == -1 else leading
        return self._outputs[name].rows(count, tuple(inner))[:count]

    def _taken(self, name: str, value: Value, buffer: Array | None) -> Array:
        """What the caller may keep. An output of the GPU that an operator on the CPU reads, too, may be on the host
        before the run ends: ONNX Runtime hands out that memory then, and leaves the bound buffer as it was."""
        in_buffer = buffer is not None and value.data_ptr() == _address(buffer)
        return buffer.copy() if buffer is not None and in_buffer else self._array(name, value)

    def _array(self, name: str, value: Value) -> Array:
        if self._elements[name] != _BFLOAT16:
            return value.numpy()
        shape = value.shape()
        size = prod(shape) * 2
        if not size:
            return np.empty(shape, np.uint16)
        data = memoryview((ctypes.c_uint8 * size).from_address(value.data_ptr()))
        return np.frombuffer(data, np.uint16).reshape(shape).copy()


def is_predictable(output: TensorMetadata) -> bool:
    """Whether the rows of the batch determine the output's shape, if the model keeps to what it declares."""
    return len(output.shape) > 0 and -1 not in output.shape[1:]


def _element_type(tensor: TensorMetadata) -> Any:
    return _BFLOAT16 if tensor.datatype == "BF16" else numpy_dtype(tensor).type


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
