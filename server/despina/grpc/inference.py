"""One inference, whether it came by a call of its own or in a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from despina.grpc.infer_request import read_request
from despina.grpc.infer_response import write_response, write_stream_response
from despina.grpc.known_inferences import Found, KnownInference, KnownInferences
from despina.grpc.large_request import parse_request
from despina.grpc.method import Message
from despina.grpc.model_names import named_version
from despina.models.tracing import trace_request
from despina.protocol.fields import cut_at_nul
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead
    from despina.grpc.http2.stream import Buffer
    from despina.models.model import Model
    from despina.protocol.messages import InferRequest
    from despina.server import Server
    from despina.telemetry.tracing.trace import Trace


class Client:
    """Who asks on a connection, what is known of the messages that come from there, and how many calls have begun that
    are no inferences."""

    __slots__ = ("calls_begun", "known")

    def __init__(self) -> None:
        self.known = KnownInferences()
        self.calls_begun = 0


class Inference:
    """One inference. `done` is called once with it when it can be answered, unless `start` raises."""

    __slots__ = ("_done", "_id", "_kind", "_message", "_model", "_pending", "_request", "_results", "_trace", "error")

    def __init__(self, done: Callable[[Inference], None]) -> None:
        self._done = done
        self._message: Message = None
        self._kind: KnownInference | None = None
        self._id = ""
        self._model: Model | None = None
        self._request: InferRequest | None = None
        self._pending: Pending | None = None
        self._results: Pending | None = None
        self._trace: Trace | None = None
        self.error: Exception | None = None
        """Why it was not submitted."""

    def start(self, server: Server, head: CallHead, data: bytes | memoryview, client: Client) -> None:
        """Submit what a serialized ModelInferRequest asks for. Raises DespinaError."""
        known = client.known.find(data)
        if known is None or not self._start_known(server, head, known, client):
            self._start_new(server, head, data, client)

    def _start_known(self, server: Server, head: CallHead, found: Found, client: Client) -> bool:
        """False, with nothing done, when the model is not what it was."""
        kind, model, request = found.kind, found.model, found.kind.request
        if server.models.get(model.name, kind.version) is not model:
            return False
        self._model, self._request, self._kind, self._id = model, request, kind, found.id
        if model.trace.active:
            self._start_trace(model, head)
        # Naming the arguments would cost 0.2 µs.
        pending = Pending(
            found.inputs,
            kind.rows,
            self._answered,
            kind.shape_key,
            kind.requested,
            found.id,
            request.priority,
            request.timeout_us,
            kind.byte_size,
            request.parameters,
            self._trace,
            client,
            request.correlation_id,
            request.sequence_start,
            request.sequence_end,
        )
        model.schedule(pending)
        self._await(pending)
        return True

    def _start_new(self, server: Server, head: CallHead, data: bytes | memoryview, client: Client) -> None:
        message, raw = parse_request(data)
        self._message = message
        version = named_version(message.model_version)
        self._model = model = server.models.get(cut_at_nul(message.model_name), version)
        if model.trace.active:
            self._start_trace(model, head)
        self._request = request = read_request(message, server.find_region, raw)
        if server.grpc_forwarding is not None:
            request.parameters.update(server.grpc_forwarding.parameters(head.own_metadata))
        pending = model.submit(request, self._answered, self._trace, client)
        self._await(pending)
        if server.grpc_forwarding is None:
            client.known.keep(data, request, pending, model, version is None)

    def _await(self, pending: Pending) -> None:
        if self._results is None:
            self._pending = pending

    def abandon(self) -> None:
        """Nobody wants the answer any more."""
        if self._pending is not None and self._model is not None:
            self._model.request_gone(self._pending)

    @property
    def answerable(self) -> bool:
        """Whether there are results, or an error."""
        return self._results is not None or self.error is not None

    @property
    def asked(self) -> tuple[str, str, str]:
        """The id, and the name and version of the model, as they were in the message; empty if that was none."""
        message, kind = self._message, self._kind
        if message is not None:
            return message.id, message.model_name, message.model_version
        if kind is None or self._model is None:
            return "", "", ""
        return self._id, self._model.name, "" if kind.version is None else str(kind.version)

    def response(self) -> Sequence[Buffer]:
        """The serialized ModelInferResponse. Raises what the inference failed with."""
        model, request, results = self._done_with()
        if self._kind is not None and results.error is None:
            pieces = self._kind.responses.write(results)
            if pieces is not None:
                return pieces
        return write_response(model, request, results)

    def stream_response(self) -> Sequence[Buffer]:
        """The same as a ModelStreamInferResponse."""
        return write_stream_response(*self._done_with())

    def _done_with(self) -> tuple[Model, InferRequest, Pending]:
        assert self._model is not None
        assert self._request is not None
        assert self._results is not None
        return self._model, self._request, self._results

    def written(self) -> None:
        """The answer has been handed to the connection. What asks for it and what has come of it hold this in turn, and
        would wait for the collector with their tensors."""
        trace, results = self._trace, self._results
        self._done, self._results, self._pending, self.error = _nothing, None, None, None
        if trace is not None and self._model is not None:
            model = self._model
            if results is not None:
                trace_request(trace, model.name, model.version, model.signature, results)
            trace.stamp("GRPC_SEND_START")
            trace.stamp("GRPC_SEND_END")
            trace.close()

    def _answered(self, pending: Pending) -> None:
        self._results, self._pending = pending, None
        self._done(self)

    def _start_trace(self, model: Model, head: CallHead) -> None:
        self._trace = trace = model.trace.sample(head.trace_context)
        if trace is not None:
            trace.stamp("GRPC_WAITREAD_START")
            trace.stamp("GRPC_WAITREAD_END")


def _nothing(inference: Inference) -> None:
    """Nobody waits for it."""
