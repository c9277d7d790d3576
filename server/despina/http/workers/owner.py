"""The owner's side of one front end's channel: requests into the schedulers, answers out of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary, ref

from despina.errors import DespinaError, Internal, Unavailable
from despina.http.workers import messages
from despina.http.workers.arena import Arena
from despina.http.workers.layout import GroupLayouts, Layout, LayoutKey, layout_of, wire_form
from despina.http.workers.messages import Frame, FrameReader, frame
from despina.http.workers.owner_exchanges import OwnerExchanges
from despina.http.workers.patience import Patience
from despina.http.workers.request_kind import RequestKind, decode_kind
from despina.protocol.bytes_tensor import held_bytes
from despina.protocol.json import dumps, loads
from despina.remember import remember
from despina.scheduling.pending import Pending
from despina_backends.base import Array

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server
    from despina.telemetry.logging import LogSettings

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class SentGroup(Pending):
    """Requests of a front end, which go through the scheduler as one; `number` is the front end's for them."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    """A kind of request, for as long as `model` lives."""

    kind: RequestKind
    layouts: GroupLayouts
    model: ref[Model]
    name: str
    version: int | None
    shape_key: object
    byte_size: int


class OwnerChannel(asyncio.Protocol):
    """One front end. `requests` is written by it, `results` here."""

    def __init__(self, server: Server, requests: Arena, results: Arena, on_listening: Callable[[], None]) -> None:
        self._server = server
        self._requests = requests
        self._results = results
        self._on_listening = on_listening
        self._reader = FrameReader()
        self._patience = Patience()
        self._epochs: WeakValueDictionary[int, Model] = WeakValueDictionary()
        self._next_epoch = itertools.count(1)
        self._kinds: dict[bytes, _Known] = {}
        self._layouts: dict[LayoutKey, tuple[Layout, bytes]] = {}
        self._active: dict[int, tuple[Model, SentGroup]] = {}
        self._exchanges = OwnerExchanges(server, requests, results, self._write)
        self._transport: asyncio.Transport | None = None

    # ------------------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The front end is gone, and so are its clients."""
        self._transport = None
        for model, pending in list(self._active.values()):
            model.request_gone(pending)
        self._exchanges.abandon_all()

    def stop(self) -> None:
        """Tell the front end to answer what it has accepted and to exit."""
        self._write(messages.STOP)

    def ping(self, worked: int) -> bool:
        """Ask for a sign of life. False when too many such questions have not been answered by a front end that has
        used so much processor time (`Patience`)."""
        self._write(messages.PING)
        return self._patience.beat(worked)

    def log(self, settings: LogSettings) -> None:
        """Tell the front end what to log from now on."""
        self._write(messages.LOG, body=dumps(settings.switches))

    def _write(self, kind: int, number: int = 0, offset: int = 0, extra: bytes = b"", body: bytes = b"") -> None:
        if self._transport is not None:
            self._server.outbox.put(self._transport, frame(kind, number, offset, extra, body))

    def data_received(self, data: bytes) -> None:
        for arrived in self._reader.feed(data):
            if arrived.kind == messages.INFER:
                self._infer(arrived)
            elif arrived.kind == messages.EXCHANGE:
                self._exchanges.start(arrived)
            elif arrived.kind == messages.RELEASE:
                self._results.give(arrived.offset)
            elif arrived.kind == messages.CANCEL:
                self._cancel(arrived.number)
            elif arrived.kind == messages.ABANDON:
                self._exchanges.abandon(arrived.number)
            elif arrived.kind == messages.ASK:
                self._describe(arrived.body)
            elif arrived.kind == messages.PONG:
                self._patience.answered()
            else:
                self._on_listening()

    # ------------------------------------------------------------------------------------------------------ requests

    def _infer(self, sent: Frame) -> None:
        known = self._kinds.get(sent.body)
        inputs = None
        if known is None:
            known, inputs = self._learn(sent)
        model = self._current(known) if known is not None else None
        if known is None or model is None:
            self._write(messages.ELSEWHERE, sent.number)
            return
        kind, count = known.kind, sent.requests
        pending = SentGroup(
            inputs or known.layouts.of(count).read(self._requests.memory, sent.offset),
            count * kind.rows,
            self._answered,
            known.shape_key,
            kind.outputs,
            "",
            kind.priority,
            kind.timeout_us,
            count * known.byte_size,
            count=count,
            number=sent.number,
        )
        if model.answers_early:
            # The front end has other use for the slot then, while a step, or the response cache, still reads it.
            pending.inputs = {name: array.copy() for name, array in pending.inputs.items()}
        self._active[sent.number] = (model, pending)
        try:
            model.schedule(pending)
        except Exception as error:
            del self._active[sent.number]
            self._send_error(sent.number, error)

    def _learn(self, sent: Frame) -> tuple[_Known | None, dict[str, Array] | None]:
        kind = decode_kind(sent.body)
        model = self._epochs.get(kind.epoch)
        if model is None:
            return None, None
        layouts = GroupLayouts(kind.layout)
        inputs = layouts.of(sent.requests).read(self._requests.memory, sent.offset)
        known = _Known(
            kind,
            layouts,
            ref(model),
            model.name,
            None if kind.latest else model.version,
            model.signature.shape_key(inputs),
            sum(map(held_bytes, inputs.values())) // sent.requests,
        )
        return remember(self._kinds, sent.body, known), inputs

    def _current(self, known: _Known) -> Model | None:
        """The model that answers such a request now, if it is the one the front end thinks it is and is not traced."""
        try:
            model = self._server.models.get(known.name, known.version)
        except DespinaError:
            return None
        return model if model is known.model() and not model.trace.active else None

    def _cancel(self, number: int) -> None:
        found = self._active.get(number)
        if found is not None:
            model, pending = found
            model.request_gone(pending)

    # ------------------------------------------------------------------------------------------------------- answers

    def _answered(self, pending: Pending) -> None:
        assert isinstance(pending, SentGroup)
        model, _ = self._active.pop(pending.number)
        if self._transport is None:
            return
        if pending.error is not None:
            self._send_error(pending.number, pending.error)
            return
        try:
            self._send_results(model, pending)
        except Exception as error:
            self._send_error(pending.number, error)

    def _send_results(self, model: Model, pending: SentGroup) -> None:
        assert pending.results is not None
        known, wanted = model.signature.outputs, pending.outputs
        results = {
            name: array
            for name, array in pending.results.items()
            if name in known and (wanted is None or name in wanted)
        }
        key, tensors = wire_form(results)
        found = self._layouts.get(key)
        if found is None:
            layout = layout_of(key)
            found = remember(self._layouts, key, (layout, dumps(layout.described)))
        layout, text = found
        offset = layout.write(self._results, tensors)
        parameters = dumps(pending.response_parameters) if pending.response_parameters else b""
        self._write(messages.RESULT, pending.number, offset, parameters, text)

    def _send_error(self, number: int, error: Exception) -> None:
        if not isinstance(error, DespinaError):
            _log.error("unexpected failure of an inference request", exc_info=error)
            error = Internal(f"unexpected failure: {error}")
        retry_after = error.retry_after if isinstance(error, Unavailable) else None
        self._write(messages.FAILED, number, body=dumps([type(error).word, error.message, retry_after]))

    # -------------------------------------------------------------------------------------------------------- models

    def _describe(self, asked: bytes) -> None:
        """What a front end needs to know of a model; nothing if it has no business with it now."""
        name, version = loads(asked)
        try:
            model = self._server.models.get(name, version)
        except DespinaError:
            model = None
        if model is None or model.trace.active:
            self._write(messages.MODEL, body=dumps([name, version, None, 0, 0]))
            return
        epoch = next(self._next_epoch)
        self._epochs[epoch] = model
        description = dumps([name, version, epoch, model.version, model.group_rows])
        self._write(messages.MODEL, extra=model.config.SerializeToString(), body=description)
