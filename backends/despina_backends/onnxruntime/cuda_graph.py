"""Execution as CUDA graphs: for models so short that launching their kernels takes longer than running them.

A graph is recorded for one shape and one set of addresses. So there is one per batch size out of a few, the *buckets*,
each with inputs and outputs of its own that stay on the GPU, and a batch runs in the smallest bucket it fits, padded
with zeros. ONNX Runtime records a graph in the first runs of its `gpu_graph_id` and keeps it with the thread that ran
it, so every run of an instance happens on the same thread. All graphs are recorded when the instance is made, and apart
from whatever else runs on GPUs (`recording`). Before that each bucket runs once without a graph: cuDNN may look for its
fastest algorithm for a second, and nobody has to wait for that.

Asked for with `enable_cuda_graph: 1` among the parameters of the `cuda` accelerator. Checked so far only with the CPU
in the GPU's place.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from despina_backends.base import Array, BackendError, Batch, Device, Execution, LoadOptions, TensorMetadata
from despina_backends.dtypes import numpy_dtype
from despina_backends.onnxruntime.errors import runtime_error
from despina_backends.onnxruntime.instance import missing_inputs, refused_inputs
from despina_backends.onnxruntime.parameters import boolean
from despina_backends.onnxruntime.recording import GATE
from despina_backends.onnxruntime.session import CREATION, Session

PARAMETER = "enable_cuda_graph"

GRAPH_ID = "gpu_graph_id"
NO_GRAPH = "-1"
"""The run option that names the graph of a run, and the value that neither records nor replays one."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What runs with `rows` rows: host buffers of the inputs, the values on the GPU, and a binding of those."""

    rows: int
    host: Mapping[str, Array]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    binding: Any
    run_options: Any


def wants_graphs(options: LoadOptions) -> bool:
    """Whether the `cuda` accelerator asks for CUDA graphs. Raises BackendError (INVALID_ARG)."""
    accelerators = options.accelerators.get("GPU", ())
    return any(name == "cuda" and boolean(parameters.get(PARAMETER, "0")) for name, parameters in accelerators)


def bucket_sizes(max_batch_size: int) -> tuple[int, ...]:
    """Powers of two up to `max_batch_size`, and that."""
    powers = (1 << power for power in range(max_batch_size.bit_length()))
    return (*(size for size in powers if size < max_batch_size), max_batch_size)


def check_graphable(options: LoadOptions, tensors: Sequence[TensorMetadata]) -> None:
    """Raise BackendError (UNSUPPORTED) for a model whose batches do not all have one of a few shapes."""
    model = options.model_name
    if options.max_batch_size < 1:
        raise BackendError(f"model '{model}': {PARAMETER} needs a max_batch_size in the configuration", "UNSUPPORTED")
    for tensor in tensors:
        fixed = tensor.shape[:1] == (-1,) and -1 not in tensor.shape[1:]
        if not fixed or tensor.datatype in ("BYTES", "BF16"):
            raise BackendError(
                f"model '{model}': {PARAMETER} needs tensors of numbers with a variable first dimension and no other, "
                f"got '{tensor.name}': {tensor.datatype} {list(tensor.shape)}; leave the parameter out",
                "UNSUPPORTED",
            )


class GraphInstance:
    """One session and its buckets on `device_type` ("cuda") number `device`. `enter` makes that GPU the one of the
    thread that calls it: the instance's own before anything else, and later the one that closes it."""

    def __init__(
        self,
        session: Session,
        inputs: Mapping[str, TensorMetadata],
        outputs: Mapping[str, TensorMetadata],
        sizes: Sequence[int],
        runtime: ModuleType,
        device: Device,
        device_type: str = "cuda",
        enter: Callable[[], object] | None = None,
    ) -> None:
        self._session: Session | None = session
        self._runtime = runtime
        self._place = (device_type, device.id)
        self._enter = enter
        self._inputs = dict(inputs)
        self._outputs = dict(outputs)
        self._buckets: list[Bucket] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cuda-graph", initializer=enter)
        try:
            with CREATION:
                self._thread.submit(self._record, session, sorted(sizes)).result()
        except BaseException:
            self.close()
            raise

    def execute(self, batch: Batch) -> Execution:
        """Run one batch. Raises BackendError; see `base.Instance`."""
        return self._thread.submit(self._execute_apart, batch).result()

    def close(self) -> None:
        """Let go of the graphs, then of the session."""
        self._thread.shutdown()
        with GATE.run():
            if self._enter is not None:
                self._enter()
            self._buckets.clear()
            self._session = None

    def _record(self, session: Session, sizes: Sequence[int]) -> None:
        try:
            for rows in sizes:
                with GATE.run():
                    bucket = self._bucket(session, rows)
                    for name, value in bucket.inputs.items():
                        value.update_inplace(bucket.host[name])
                    session.run_with_iobinding(bucket.binding, self._run_options(NO_GRAPH))
                with GATE.recording():
                    session.run_with_iobinding(bucket.binding, bucket.run_options)
                self._buckets.append(bucket)
        except Exception as error:
            raise runtime_error(error) from error

    def _execute_apart(self, batch: Batch) -> Execution:
        with GATE.run():
            return self._execute(batch)

    def _execute(self, batch: Batch) -> Execution:
        session = self._session
        if session is None:
            raise BackendError("the instance is closed", "UNAVAILABLE")
        if not self._inputs.keys() <= batch.inputs.keys():
            raise missing_inputs(frozenset(self._inputs.keys() - batch.inputs.keys()))
        bucket = self._fill(batch)
        input_end_ns = time.monotonic_ns()
        try:
            session.run_with_iobinding(bucket.binding, bucket.run_options)
            names = tuple(self._outputs) if batch.outputs is None else batch.outputs
            # A value on the GPU is copied by `numpy()`; the copy here is of the rows asked for, and the caller's own.
            outputs = {name: bucket.outputs[name].numpy()[: batch.rows].copy() for name in names}
        except Exception as error:
            raise runtime_error(error) from error
        return Execution(outputs, input_end_ns, time.monotonic_ns())

    def _fill(self, batch: Batch) -> Bucket:
        bucket = next((each for each in self._buckets if each.rows >= batch.rows), None)
        if bucket is None:
            largest = self._buckets[-1].rows
            raise BackendError(f"expected a batch of {largest} rows at most, got {batch.rows}", "INVALID_ARG")
        try:
            for name, parts in batch.inputs.items():
                host = bucket.host[name]
                np.concatenate(parts, out=host[: batch.rows])
                host[batch.rows :] = 0
                bucket.inputs[name].update_inplace(host)
        except (KeyError, TypeError, ValueError) as error:
            raise refused_inputs(batch, self._inputs, error) from error
        except Exception as error:
            raise runtime_error(error) from error
        return bucket

    def _bucket(self, session: Session, rows: int) -> Bucket:
        host = {name: np.zeros((rows, *t.shape[1:]), numpy_dtype(t)) for name, t in self._inputs.items()}
        values = {name: self._value(tensor, rows) for name, tensor in {**self._inputs, **self._outputs}.items()}
        binding: Any = session.io_binding()
        for name in self._inputs:
            binding.bind_ortvalue_input(name, values[name])
        for name in self._outputs:
            binding.bind_ortvalue_output(name, values[name])
        inputs, outputs = ({name: values[name] for name in names} for names in (self._inputs, self._outputs))
        return Bucket(rows, host, inputs, outputs, binding, self._run_options(str(rows)))

    def _run_options(self, graph_id: str) -> Any:
        run_options = self._runtime.RunOptions()
        run_options.add_run_config_entry(GRAPH_ID, graph_id)
        return run_options

    def _value(self, tensor: TensorMetadata, rows: int) -> Any:
        shape = (rows, *tensor.shape[1:])
        return self._runtime.OrtValue.ortvalue_from_shape_and_type(shape, numpy_dtype(tensor).type, *self._place)
