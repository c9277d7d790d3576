"""One infer request from its body to its reply, whichever way the bytes came in.

Clients send the same JSON head with every binary request: only the tensors differ. So the first request with a given
head is decoded and admitted in full, and what that found is kept as a `RequestTemplate`; the next ones with the same
bytes only cut their tensors out of the body. The head of the reply is kept in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from despina.errors import DespinaError, Internal, Unavailable
from despina.models.tracing import trace_request
from despina.protocol import classification, decode, encode
from despina.protocol.encode import Buffer, EncodedOutput
from despina.protocol.json import dumps
from despina.protocol.messages import Array, InferRequest, OutputTensor, RequestedOutput
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server
    from despina.telemetry.trace import Trace

_log = logging.getLogger(__name__)

MAX_TEMPLATES = 128
MAX_TEMPLATE_HEAD = 4096


@dataclass(slots=True)
class InferReply:
    """What goes back. `header_length` is the length of the JSON when binary data follows, else 0."""

    status: int
    buffers: Sequence[Buffer | Array]
    header_length: int = 0
    retry_after: float | None = None

    @property
    def size(self) -> int:
        return sum(len(buffer) if isinstance(buffer, bytes) else buffer.nbytes for buffer in self.buffers)


def error_reply(error: Exception) -> InferReply:
    """`{"error": message}` with the status of the error."""
    if not isinstance(error, DespinaError):
        _log.error("unexpected failure of an inference request", exc_info=error)
        error = Internal(f"unexpected failure: {error}")
    retry_after = error.retry_after if isinstance(error, Unavailable) else None
    return InferReply(error.status, [dumps({"error": error.message})], retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class TensorSlice:
    """Where in the body the bytes of an input lie, and what they are."""

    name: str
    dtype: np.dtype[np.generic]
    count: int
    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What the decoding of one JSON head came to. `reply_heads` maps the shapes of all outputs to the JSON of the reply;
    None when some output does not come back as binary data."""

    body_size: int
    slices: tuple[TensorSlice, ...]
    rows: int
    shape_key: object
    byte_size: int
    outputs: tuple[str, ...] | None
    priority: int
    timeout_us: int
    request: InferRequest
    reply_heads: dict[tuple[tuple[int, ...], ...], bytes] | None = field(default_factory=dict)


class InferExchange:
    """One request and its reply. `reply` is called exactly once, perhaps before `start` returns."""

    __slots__ = ("_model", "_reply", "_request", "_server", "_template", "_trace", "pending")

    def __init__(self, server: Server, model: Model, reply: Callable[[InferReply], None]) -> None:
        self._server = server
        self._model = model
        self._reply = reply
        self._template: RequestTemplate | None = None
        self._request: InferRequest | None = None
        self._trace: Trace | None = None
        self.pending: Pending | None = None

    def start(
        self,
        body: memoryview,
        header_length: str | None,
        received_ns: int = 0,
        carrier: Mapping[str, str] | None = None,
    ) -> None:
        """Decode, check and submit the request. The memory of `body` must stay untouched until the reply.

        `received_ns` is when the request began to arrive (now, if 0), `carrier` its W3C trace context headers.
        """
        if self._model.trace.active:
            self._start_trace(received_ns, carrier)
        try:
            length = len(body) if header_length is None else decode.header_length(header_length, len(body))
            if 0 < length <= MAX_TEMPLATE_HEAD and length < len(body):
                self._start_with_template(body, length)
            else:
                self._start_decoding(body, length)
        except Exception as error:
            self._send(error_reply(error))

    def _start_trace(self, received_ns: int, carrier: Mapping[str, str] | None) -> None:
        self._trace = trace = self._model.trace.sample(carrier)
        if trace is not None:
            trace.stamp("HTTP_RECV_START", received_ns or None)
            trace.stamp("HTTP_RECV_END")

    def abandon(self) -> None:
        """The client hung up."""
        if self.pending is not None:
            self._model.request_gone(self.pending)

    def _start_decoding(self, body: memoryview, length: int) -> None:
        context = decode.Context(self._model.name, self._server.limits, self._server.find_region)
        self._request = request = decode.decode_request(body, length, context)
        self.pending = self._model.submit(request, self._done, self._trace)

    def _start_with_template(self, body: memoryview, length: int) -> None:
        head = bytes(body[:length])
        templates: dict[bytes, RequestTemplate] = self._model.templates
        template = templates.get(head)
        if template is None or template.body_size != len(body):
            self._start_decoding(body, length)
            assert self._request is not None
            assert self.pending is not None
            template = make_template(self._model, self._request, self.pending, body, length)
            if template is not None:
                if len(templates) >= MAX_TEMPLATES:
                    templates.clear()
                templates[head] = template
            return
        self._template = template
        self._request = template.request
        inputs = {
            part.name: np.frombuffer(body, part.dtype, part.count, part.offset).reshape(part.shape)
            for part in template.slices
        }
        self.pending = pending = Pending(
            inputs,
            template.rows,
            self._done,
            template.shape_key,
            template.outputs,
            priority=template.priority,
            timeout_us=template.timeout_us,
            byte_size=template.byte_size,
            trace=self._trace,
        )
        self._model.schedule(pending)

    def _done(self, pending: Pending) -> None:
        try:
            if pending.error is not None:
                raise pending.error
            reply = self._fast_reply(pending) or self._encode(pending)
        except Exception as error:
            reply = error_reply(error)
        if self._trace is not None:
            model = self._model
            trace_request(self._trace, model.name, model.version, model.signature, pending)
        self._send(reply)

    def _send(self, reply: InferReply) -> None:
        trace = self._trace
        if trace is None:
            self._reply(reply)
            return
        trace.stamp("HTTP_SEND_START")
        self._reply(reply)
        trace.stamp("HTTP_SEND_END")
        trace.close()

    def _fast_reply(self, pending: Pending) -> InferReply | None:
        template = self._template
        if template is None or template.reply_heads is None or pending.response_parameters:
            return None
        results = pending.results
        assert results is not None
        arrays = [results[name] for name in template.outputs or self._model.signature.output_order]
        shapes = tuple([array.shape for array in arrays])
        head = template.reply_heads.get(shapes)
        if head is None:
            reply = self._encode(pending)
            if len(reply.buffers) == len(arrays) + 1:
                if len(template.reply_heads) >= MAX_TEMPLATES:
                    template.reply_heads.clear()
                template.reply_heads[shapes] = bytes(reply.buffers[0])
            return reply
        for array in arrays:
            if not array.flags.c_contiguous:
                return None
        return InferReply(200, [head, *arrays], len(head))

    def _encode(self, pending: Pending) -> InferReply:
        request = self._request
        assert request is not None
        model = self._model
        outputs = encode_outputs(model, request, pending, self._server)
        response = encode.encode_response(
            model.name, model.version, request.id, outputs, pending.response_parameters
        )
        return InferReply(200, response.buffers, response.header_length)


def make_template(
    model: Model, request: InferRequest, pending: Pending, body: memoryview, length: int
) -> RequestTemplate | None:
    """The template of a request that was just admitted, or None when its head says too little about the next one."""
    if request.id or request.correlation_id or request.parameters or request.raw:
        return None
    if any(output.shared_memory is not None for output in request.outputs):
        return None
    slices: list[TensorSlice] = []
    offset = length
    for item in request.inputs:
        array = pending.inputs[item.name]
        if not isinstance(item.data, memoryview) or item.data.obj is not body.obj or array.dtype == object:
            return None
        slices.append(TensorSlice(item.name, array.dtype, array.size, offset, array.shape))
        offset += item.data.nbytes
    if offset != len(body):
        return None
    described = InferRequest(outputs=request.outputs, binary_output=request.binary_output)
    return RequestTemplate(
        len(body),
        tuple(slices),
        pending.rows,
        pending.shape_key,
        pending.byte_size,
        pending.outputs,
        request.priority,
        request.timeout_us,
        described,
        {} if _all_binary(model, request) else None,
    )


def _all_binary(model: Model, request: InferRequest) -> bool:
    specs = model.signature.outputs.values()
    if any(spec.reshape is not None or spec.datatype.kind == "bytes" for spec in specs):
        return False
    if not request.outputs:
        return request.binary_output
    return all(output.binary and not output.classification for output in request.outputs)


def encode_outputs(model: Model, request: InferRequest, pending: Pending, server: Server) -> list[EncodedOutput]:
    """Every output of the reply, in the order of their names."""
    assert pending.results is not None
    wanted = {output.name: output for output in request.outputs}
    encoded: list[EncodedOutput] = []
    for name in model.signature.output_order:
        if wanted and name not in wanted:
            continue
        array = pending.results.get(name)
        if array is None:
            continue
        output = wanted.get(name) or RequestedOutput(name, request.binary_output)
        encoded.append(_encode_output(model, output, array, server))
    return encoded


def _encode_output(model: Model, output: RequestedOutput, array: Array, server: Server) -> EncodedOutput:
    spec = model.signature.outputs[output.name]
    batches = model.signature.max_batch_size > 0
    array = spec.to_client(array, batches)
    if output.classification:
        labels = model.labels.get(output.name, [])
        array = classification.classify(array, spec.datatype.name, output.classification, labels, batches)
        return encode.encode_output(OutputTensor(output.name, "BYTES", array), output.binary)
    tensor = OutputTensor(output.name, spec.datatype.name, array)
    if output.shared_memory is None:
        return encode.encode_output(tensor, output.binary)
    data = encode.binary_data(tensor)
    if len(data) > output.shared_memory.byte_size:
        raise Internal(
            f"shared memory size specified with the request for output '{output.name}' "
            f"({output.shared_memory.byte_size} bytes) should be at least {len(data)} bytes to hold the results"
        )
    output.shared_memory.write(data)
    return EncodedOutput(tensor)
