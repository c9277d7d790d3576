from itertools import count

import numpy as np
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.models.signature import Signature
from despina.models.tracing import trace_request
from despina.scheduling.pending import Pending
from despina.telemetry.tracing.trace import Request, Stamp, Tensor, Trace

SIGNATURE = Signature(text_format.Parse('name: "m" input { name: "x" data_type: TYPE_FP32 dims: 1 }', ModelConfig()))


def stamps(trace: Trace, executed: bool) -> list[str]:
    pending = Pending({"x": np.zeros(1, np.float32)}, 1, lambda pending: None, id="r", results={})
    if executed:
        pending.started_ns, pending.input_end_ns, pending.infer_end_ns = 1, 2, 3
    trace_request(trace, "m", 1, SIGNATURE, pending)
    assert Request("m", 1, "r") in trace.entries
    return [entry.name for entry in trace.entries if isinstance(entry, Stamp)]


def test_a_step_has_the_moments_of_its_execution_but_sends_no_response() -> None:
    root = Trace(count(1), ("TIMESTAMPS",), lambda group: None)
    compute = ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
    assert stamps(root.child(), executed=True) == ["REQUEST_START", "QUEUE_START", *compute, "REQUEST_END"]


def test_an_ensemble_sends_a_response_but_executes_nothing_itself() -> None:
    root = Trace(count(1), ("TIMESTAMPS",), lambda group: None)
    assert stamps(root, executed=False) == ["REQUEST_START", "QUEUE_START", "INFER_RESPONSE_COMPLETE", "REQUEST_END"]


def test_a_reshaped_input_is_traced_as_the_backend_sees_it_and_an_output_as_the_client_does() -> None:
    tensor = "data_type: TYPE_FP32 dims: [ 2, 3 ] reshape { shape: [ 6 ] }"
    text = f'name: "m" max_batch_size: 4 input {{ name: "x" {tensor} }} output {{ name: "y" {tensor} }}'
    signature = Signature(text_format.Parse(text, ModelConfig()))
    array = np.arange(6, dtype=np.float32).reshape(1, 6)
    pending = Pending({"x": array}, 1, lambda pending: None, results={"y": array})
    trace = Trace(count(1), ("TENSORS",), lambda group: None)
    trace_request(trace, "m", 1, signature, pending)
    traced = [
        (entry.name, entry.shape, entry.array.ravel().tolist()) for entry in trace.entries if isinstance(entry, Tensor)
    ]
    assert traced == [("x", (1, 6), array[0].tolist()), ("y", (1, 2, 3), array[0].tolist())]


def test_an_output_that_cannot_be_reshaped_is_traced_as_the_backend_made_it() -> None:
    text = 'name: "m" output { name: "y" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } }'
    signature = Signature(text_format.Parse(text, ModelConfig()))
    pending = Pending({}, 1, lambda pending: None, results={"y": np.zeros(8, np.float32)})
    trace = Trace(count(1), ("TENSORS",), lambda group: None)
    trace_request(trace, "m", 1, signature, pending)
    assert [entry.shape for entry in trace.entries if isinstance(entry, Tensor)] == [(8,)]
