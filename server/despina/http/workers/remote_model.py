"""What a front end has in place of a model: checks requests in the same way, and sends them to the owner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from despina.config.proto import ModelConfig
from despina.http.collecting_connection import LARGE_BODY
from despina.http.request_templates import Templates
from despina.http.workers.gathering import SentKind
from despina.http.workers.layout import GroupLayouts, Layout, layout_of, wire_form
from despina.http.workers.messages import MAX_GROUP
from despina.http.workers.request_kind import RequestKind
from despina.models.signature import Signature
from despina.protocol.messages import Array, InferRequest
from despina.remember import remember
from despina.scheduling.explanation import EXPLAIN
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.http.workers.front_channel import FrontChannel
    from despina.telemetry.tracing.trace import Trace


class Elsewhere(Exception):
    """The request is for the owner itself."""


class RemoteModel:
    """A model of the owner as the lane uses it. `requested_version` is None where clients name no version. So many as
    `group_rows` rows of requests may be sent together."""

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        requested_version: int | None,
        epoch: int,
        channel: FrontChannel,
        group_rows: int,
    ) -> None:
        self.name: str = config.name
        self.version = version
        self.requested_version = requested_version
        self.signature = Signature(config)
        self.labels: Mapping[str, list[str]] = {}
        self.trace = SimpleNamespace(active=False)
        self.takes_text = False
        self.is_stateful: bool = config.HasField("sequence_batching")
        """Whether its requests are of sequences, and for the owner."""
        self.templates: Any = Templates(self)  # type: ignore[arg-type]
        self._epoch = epoch
        self._channel = channel
        has_texts = any(spec.datatype.kind == "bytes" for spec in self.signature.inputs.values())
        self._group_rows = 0 if has_texts else group_rows
        self._kinds: dict[object, SentKind] = {}

    def submit(
        self,
        request: InferRequest,
        on_done: Callable[[Pending], None],
        trace: Trace | None = None,
        client: object = None,
    ) -> Pending:
        """As `Model.submit`. Raises Elsewhere for requests that say more than is sent to the owner."""
        if any(output.classification or output.shared_memory for output in request.outputs):
            raise Elsewhere
        admitted = self.signature.admit(request)
        if admitted.empty:
            raise Elsewhere
        pending = Pending(
            admitted.inputs,
            admitted.rows,
            on_done,
            outputs=tuple(sorted(output.name for output in request.outputs)) or None,
            id=request.id,
            priority=request.priority,
            timeout_us=request.timeout_us,
            byte_size=admitted.byte_size,
            parameters=request.parameters,
            correlation_id=request.correlation_id,
            sequence_start=request.sequence_start,
            sequence_end=request.sequence_end,
        )
        self.schedule(pending)
        return pending

    def schedule(self, pending: Pending) -> None:
        """As `Model.schedule`. Raises Elsewhere for the same as `submit`."""
        if not _is_plain(pending):
            raise Elsewhere
        if pending.rows <= self._group_rows and pending.byte_size < LARGE_BODY:
            # Requests of such a model have the same shapes but for their rows.
            key: object = (*pending.inputs, pending.rows, pending.outputs, pending.priority, pending.timeout_us)
            kind = self._kinds.get(key) or self._learn(key, layout_of(wire_form(pending.inputs)[0]), pending)
            self._channel.gather(kind, pending)
        else:
            self._send_alone(pending)

    def _send_alone(self, pending: Pending) -> None:
        layout_key, tensors = wire_form(pending.inputs)
        start, offsets = self._places(tensors) if pending.byte_size >= LARGE_BODY else (None, ())
        key = (layout_key, offsets, pending.outputs, pending.priority, pending.timeout_us)
        kind = self._kinds.get(key) or self._learn(key, layout_of(layout_key, offsets), pending)
        self._channel.send(kind, pending, tensors, start)

    def _places(self, tensors: list[Array]) -> tuple[int | None, tuple[int, ...]]:
        """Where the first tensor lies and the others count from it, if the body was received in shared memory."""
        found = [self._channel.find(tensor) for tensor in tensors]
        start = found[0] if found else None
        if start is None or None in found:
            return None, ()
        return start, tuple([offset - start for offset in found if offset is not None])

    def _learn(self, key: object, layout: Layout, pending: Pending) -> SentKind:
        kind = RequestKind(
            self._epoch,
            self.requested_version is None,
            layout,
            pending.rows,
            pending.outputs,
            pending.priority,
            pending.timeout_us,
        )
        most = min(max(1, self._group_rows // pending.rows), MAX_GROUP)
        return remember(self._kinds, key, SentKind(self, kind.encode(), GroupLayouts(layout), most))

    def request_gone(self, pending: Pending) -> None:
        """As `Model.request_gone`."""
        self._channel.cancel(pending)


def _is_plain(pending: Pending) -> bool:
    # An empty sequence id is not 0: an ensemble tells it. Of the client's own parameters only this one means anything.
    return not (
        pending.correlation_id != 0
        or pending.sequence_start
        or pending.sequence_end
        or pending.parameters.get(EXPLAIN) is True
    )
