"""What a trace says of a request, written when the request is answered."""

from despina.models.signature import Signature
from despina.models.tensor_spec import TensorSpec
from despina.scheduling.pending import Pending
from despina.telemetry.tracing.trace import Trace
from despina_backends.base import Array


def trace_request(trace: Trace, name: str, version: int, signature: Signature, pending: Pending) -> None:
    """Everything between acceptance and answer: the moments the scheduler noted, and the tensors if they are wanted.
    A request that was never executed has no compute moments."""
    trace.start_request(name, version, pending.id, pending.accepted_ns)
    trace.stamp("QUEUE_START", pending.queued_ns)
    for tensor, array in pending.inputs.items():
        _trace_tensor(trace, "TENSOR_QUEUE_INPUT", signature.inputs.get(tensor), array)
    if not trace.parent_id:
        # Nobody sends the answer of an ensemble's step anywhere.
        trace.stamp("INFER_RESPONSE_COMPLETE")
    if pending.results is not None and pending.infer_end_ns:
        trace.stamp("COMPUTE_START", pending.started_ns)
        trace.stamp("COMPUTE_INPUT_END", pending.input_end_ns)
        trace.stamp("COMPUTE_OUTPUT_START", pending.infer_end_ns)
        trace.stamp("COMPUTE_END")
    for tensor, array in sorted((pending.results or {}).items()):
        output = signature.outputs.get(tensor)
        if trace.tensors and output is not None:
            seen = _seen(output, array, signature.max_batch_size > 0)
            _trace_tensor(trace, "TENSOR_BACKEND_OUTPUT", output, seen)
    trace.stamp("REQUEST_END")


def _seen(output: TensorSpec, array: Array, batches: bool) -> Array:
    """Of a reshaped input the backend's shape is traced, of a reshaped output the client's, as in tritonserver."""
    try:
        return output.to_client(array, batches)
    except ValueError:  # The model keeps no shape that could be reshaped so. The client is told.
        return array


def _trace_tensor(trace: Trace, activity: str, spec: TensorSpec | None, array: Array) -> None:
    if trace.tensors and spec is not None:
        trace.tensor(activity, spec.name, spec.datatype.name, array.shape, array)
