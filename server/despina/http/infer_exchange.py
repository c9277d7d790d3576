"""One infer request from its body to its reply, whichever way the bytes came in.

A request of a kind that was seen before takes the short way through its template; any other is decoded and checked in
full. Both end in the same `Pending` and the same reply.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal, Unavailable
from despina.http.compression import compress
from despina.http.encoded_outputs import encode_outputs
from despina.http.placed_outputs import place_outputs, windows_of
from despina.http.reply_kind import ReplyKind
from despina.http.request_template import KnownRequest, RequestTemplate, held
from despina.http.request_templates import Templates
from despina.models.tracing import trace_request
from despina.protocol import decode, encode
from despina.protocol.encode import Buffer
from despina.protocol.json import dumps
from despina.protocol.messages import Array, InferRequest
from despina.scheduling.pending import Pending
from despina.shared_memory.window import Window

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server
    from despina.telemetry.tracing.trace import Trace

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class InferReply:
    """What goes back: `buffers`, of `size` bytes together. `header_length` is the length of the JSON when binary data
    follows, else 0; `encoding` is what both together are compressed as, if they are."""

    status: int
    buffers: Sequence[Buffer]
    size: int
    header_length: int = 0
    retry_after: float | None = None
    encoding: str = ""


def error_reply(error: Exception) -> InferReply:
    """`{"error": message}` with the status of the error."""
    if not isinstance(error, DespinaError):
        _log.error("unexpected failure of an inference request", exc_info=error)
        error = Internal(f"unexpected failure: {error}")
    _log.debug("Infer failed: %s", error.message)
    retry_after = error.retry_after if isinstance(error, Unavailable) else None
    text = dumps({"error": error.message})
    return InferReply(error.status, [text], len(text), retry_after=retry_after)


def compressed(reply: InferReply, encoding: str) -> InferReply:
    """The same as `gzip` or `deflate`, or what is answered when that fails: whoever waits for a thread to do this must
    not wait for ever."""
    try:
        data = compress(b"".join(reply.buffers), encoding)
        return replace(reply, buffers=[data], size=len(data), encoding=encoding)
    except Exception as error:
        return error_reply(error)


class InferExchange:
    """One request and its reply. `reply` is called exactly once, perhaps before `start` returns."""

    __slots__ = (
        "_amend",
        "_client",
        "_reply",
        "_request",
        "_server",
        "_template",
        "_trace",
        "_windows",
        "model",
        "pending",
    )

    def __init__(
        self,
        server: Server,
        model: Model,
        reply: Callable[[InferReply], None],
        amend: Callable[[InferRequest], None] | None = None,
        client: object = None,
    ) -> None:
        """`amend` may change the decoded request before the model checks it; `client` is that of `Pending`."""
        self._server = server
        self._amend = amend
        self.model = model
        self._reply = reply
        self._client = client
        self._template: RequestTemplate | None = None
        self._request: InferRequest | None = None
        self._trace: Trace | None = None
        self._windows: Mapping[str, Window] | None = None
        self.pending: Pending | None = None

    def start(
        self,
        body: memoryview,
        header_length: str | None,
        received_ns: int = 0,
        carrier: Mapping[str, str] | None = None,
    ) -> RequestTemplate | None:
        """Decode, check and submit the request. The memory of `body` must stay untouched until the reply.

        `received_ns` is when the request began to arrive (now, if 0), `carrier` its W3C trace context headers. Returns
        the template of a request that was known and whose like differ in nothing but their tensors.
        """
        if self.model.trace.active:
            self._start_trace(received_ns, carrier)
        try:
            length = len(body) if header_length is None else decode.header_length(header_length, len(body))
            repeatable = 0 < length <= self._server.limits.max_input_size and self._amend is None
            seen = self._find(body, length) if repeatable else None
            if seen is not None:
                self._windows = seen.windows
                self._submit(seen.template, seen.request, seen.inputs, seen.id, seen.correlation_id, seen.byte_size)
                return seen.template if not seen.id and seen.template.repeats else None
            self._start_decoding(body, length)
        except Exception as error:
            self._refuse(error)
            return None
        if repeatable:
            self._keep_template(body, length)
        return None

    def start_like(self, template: RequestTemplate, data: bytes, start: int) -> bool:
        """Submit a request that differs from an earlier one only in its tensors, the first of which begins at `start`.
        False, with nothing done, when it has to be decoded or is to be traced."""
        if self.model.trace.active:
            return False
        correlation_id = template.correlation_id
        if correlation_id is None:
            return False
        try:
            inputs = template.read(data, start)
            if inputs is None:
                return False
            if template.outputs_at:
                self._windows = template.find_windows()
                if self._windows is None:
                    return False
            self._submit(template, template.request, inputs, "", correlation_id, template.byte_size or held(inputs))
        except Exception as error:
            self._refuse(error)
        return True

    def _refuse(self, error: Exception) -> None:
        self._send(error_reply(error))

    def _start_trace(self, received_ns: int, carrier: Mapping[str, str] | None) -> None:
        self._trace = trace = self.model.trace.sample(carrier)
        if trace is not None:
            trace.stamp("HTTP_RECV_START", received_ns or None)
            trace.stamp("HTTP_RECV_END")

    def abandon(self) -> None:
        """The client hung up."""
        if self.pending is not None:
            self.model.request_gone(self.pending)

    def _start_decoding(self, body: memoryview, length: int) -> None:
        context = decode.Context(self.model.name, self._server.limits, self._server.find_region)
        self._request = request = decode.decode_request(body, length, context)
        if self._amend is not None:
            self._amend(request)
        self._windows = windows_of(request)
        self.pending = self.model.submit(request, self._done, self._trace, self._client)

    def _find(self, body: memoryview, length: int) -> KnownRequest | None:
        templates: Templates = self.model.templates
        return templates.find_binary(body, length) if length < len(body) else templates.find_json(body)

    def _submit(
        self,
        template: RequestTemplate,
        request: InferRequest,
        inputs: dict[str, Array],
        request_id: str,
        correlation_id: int | str,
        byte_size: int,
    ) -> None:
        """Submit a request of a kind that was seen before."""
        self._template, self._request = template, request
        # Naming the arguments would cost 0.2 µs.
        self.pending = pending = Pending(
            inputs,
            template.rows,
            self._done,
            template.shape_key,
            template.requested,
            request_id,
            request.priority,
            request.timeout_us,
            byte_size,
            request.parameters,
            self._trace,
            self._client,
            correlation_id,
            request.sequence_start,
            request.sequence_end,
        )
        self.model.schedule(pending)

    def _keep_template(self, body: memoryview, length: int) -> None:
        assert self._request is not None
        assert self.pending is not None
        most = self._server.limits.max_input_size
        try:
            if length < len(body):
                self.model.templates.keep_binary(body, length, self._request, self.pending, most)
            else:
                self.model.templates.keep_json(body, self._request, self.pending, most)
        except Exception:
            # The request is under way and will be answered, which must not happen twice.
            _log.exception("unexpected failure to remember a request for model '%s'", self.model.name)

    def _done(self, pending: Pending) -> None:
        # They hold each other: large bodies would wait for the garbage collector.
        self.pending = None
        try:
            if pending.error is not None:
                raise pending.error
            if self._windows is not None:
                place_outputs(self.model, self._windows, pending)
            template = self._template
            kind = template.reply if template is not None else self._reply_kind()
            composed = kind.compose(pending) if kind is not None else None
            reply = InferReply(200, *composed) if composed is not None else self._encode(pending)
        except Exception as error:
            reply = error_reply(error)
        if self._trace is None:
            self._reply(reply)
            return
        model = self.model
        trace_request(self._trace, model.name, model.version, model.signature, pending)
        self._send(reply)

    def _reply_kind(self) -> ReplyKind | None:
        assert self._request is not None
        kind: ReplyKind | None = self.model.templates.reply_kind(self._request)
        return kind

    def _send(self, reply: InferReply) -> None:
        trace = self._trace
        if trace is None:
            self._reply(reply)
            return
        trace.stamp("HTTP_SEND_START")
        self._reply(reply)
        trace.stamp("HTTP_SEND_END")
        trace.close()

    def _encode(self, pending: Pending) -> InferReply:
        request = self._request
        assert request is not None
        model = self.model
        outputs = encode_outputs(model, request, pending)
        response = encode.encode_response(model.name, model.version, pending.id, outputs, pending.response_parameters)
        return InferReply(200, response.buffers, response.size, response.header_length)
