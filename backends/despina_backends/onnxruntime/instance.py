"""Execution on the CPU: numpy arrays in, numpy arrays out.

ONNX Runtime's `run` reads a contiguous numpy array where it lies and returns views of memory it allocated for this run,
so it copies nothing, and it lets go of the GIL while it computes. Its C level costs 2.8 µs a call. Binding the same
arrays by pointer costs 4.3 and loses the error code; only tensors without a numpy dtype (BF16) and GPUs need `bound`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from despina_backends.base import Array, BackendError, Batch, Execution, TensorMetadata
from despina_backends.onnxruntime.errors import runtime_error
from despina_backends.onnxruntime.memory import PageableMemory
from despina_backends.onnxruntime.session import Session
from despina_backends.onnxruntime.staging import Staging
from despina_backends.onnxruntime.strings import ByteEscape, all_bytes, decode_strings, encode_strings, kinds

Run = Callable[[Sequence[str], Mapping[str, Array], Any], Sequence[Array]]


class RunInstance:
    """One session and the staging buffers of its inputs. `inputs` includes optional ones."""

    def __init__(
        self,
        session: Session,
        inputs: Mapping[str, TensorMetadata],
        outputs: Mapping[str, TensorMetadata],
        run_options: Any = None,
    ) -> None:
        self._run = raw_run(session)
        self._run_options = run_options
        self._required = frozenset(name for name, tensor in inputs.items() if not tensor.optional)
        self._gather = {name: Staging(tensor, PageableMemory()).gather for name, tensor in inputs.items()}
        self._outputs = tuple(outputs)
        self._string_inputs = tuple(name for name, tensor in inputs.items() if tensor.datatype == "BYTES")
        self._string_outputs = frozenset(name for name, tensor in outputs.items() if tensor.datatype == "BYTES")
        # ONNX Runtime 1.24 hands out an output that *is* an input as the very memory that was fed, 1.32 does not.
        self._passed_through = frozenset(inputs) & frozenset(outputs)

    def execute(self, batch: Batch) -> Execution:
        """Run one batch. Raises BackendError; see `base.Instance`."""
        if not self._required <= batch.inputs.keys():
            # ONNX Runtime would run, and dereference a null pointer where a kernel does not look.
            raise missing_inputs(self._required - batch.inputs.keys())
        gather, rows, escape, are_text = self._gather, batch.rows, None, False
        try:
            feed = {name: gather[name](parts, rows) for name, parts in batch.inputs.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise refused_inputs(batch, gather, error) from error
        if self._string_inputs:
            found = kinds([part for name in self._string_inputs for part in batch.inputs.get(name, ())])
            are_text = found == {str}
            escape = None if are_text else self._decode(feed, mixed=str in found)
        names = self._outputs if batch.outputs is None else batch.outputs
        input_end_ns = time.monotonic_ns()
        try:
            values = self._run(names, feed, self._run_options)
        except Exception as error:
            raise runtime_error(error) from error
        infer_end_ns = time.monotonic_ns()
        outputs = dict(zip(names, values, strict=True))
        if self._string_outputs or self._passed_through:
            self._detach(outputs, escape, are_text)
        return Execution(outputs, input_end_ns, infer_end_ns)

    def close(self) -> None:
        """Let go of the session and the buffers."""
        self._run = _closed
        self._gather = {}

    def _decode(self, feed: dict[str, Array], mixed: bool) -> ByteEscape | None:
        strings = {name: feed[name] for name in self._string_inputs if name in feed}
        if mixed:
            strings = {name: all_bytes(array) for name, array in strings.items()}
        decoded, escape = decode_strings(strings)
        feed.update(decoded)
        return escape

    def _detach(self, outputs: dict[str, Array], escape: ByteEscape | None, are_text: bool) -> None:
        for name, value in outputs.items():
            if name in self._string_outputs and not are_text:
                outputs[name] = encode_strings(value, escape)
            elif name in self._passed_through:
                outputs[name] = value.copy()


def raw_run(session: Session) -> Run:
    """`run` below ONNX Runtime's Python layer, which costs 1 µs and retries on the CPU what fails on a GPU."""
    native = getattr(session, "_sess", None)
    return cast(Run, session.run if native is None else native.run)


def missing_inputs(names: frozenset[str]) -> BackendError:
    """What ONNX Runtime makes of it on the real server, which counts inputs and looks no further: a model that may do
    without one of them gets any other instead."""
    listed = ", ".join(sorted(names))
    return BackendError(f"onnx runtime error 1: missing inputs: expected also {listed}")


def refused_inputs(batch: Batch, known: Mapping[str, object], error: Exception) -> BackendError:
    """Why the parts of the inputs do not make a batch."""
    for name in batch.inputs:
        if name not in known:
            return BackendError(f"Failed to retrieve the ONNX input tensor info from '{name}'.", "INVALID_ARG")
    shapes = {name: [part.shape for part in parts] for name, parts in batch.inputs.items()}
    return BackendError(f"inputs do not make a batch of {batch.rows} rows: {error}; shapes {shapes}", "INVALID_ARG")


def _closed(*_: object) -> Sequence[Array]:
    raise BackendError("the instance is closed", "UNAVAILABLE")
