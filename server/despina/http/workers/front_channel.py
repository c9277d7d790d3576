"""The front end's side of its channel, and the models it has heard of."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import cast

from despina.config.proto import ModelConfig
from despina.errors import UNKNOWN_LABEL, DespinaError, Internal, Unavailable, Unsupported
from despina.http.endpoints.logging import change
from despina.http.workers import messages
from despina.http.workers.arena import CAPACITY, COPIED_SIZE, Arena
from despina.http.workers.gathering import Gathering, SentKind
from despina.http.workers.layout import Layout, read_layout
from despina.http.workers.messages import Frame, FrameReader, frame
from despina.http.workers.remote_exchanges import RemoteExchanges
from despina.http.workers.remote_model import Elsewhere, RemoteModel
from despina.protocol.json import dumps, loads
from despina.protocol.messages import Array
from despina.remember import remember
from despina.scheduling.formed_batch import split_group
from despina.scheduling.outbox import Outbox
from despina.scheduling.pending import Pending
from despina.telemetry.logging import LogSettings


@dataclass(frozen=True, slots=True)
class _Sent:
    """A group under way, and the slot its inputs were copied to. Requests keep their inputs, so if they were received
    in shared memory, that slot is in use as well."""

    model: RemoteModel
    requests: Sequence[Pending]
    slot: int | None


class FrontChannel(asyncio.Protocol):
    """To the owner and back. `requests` is written here, `results` by the owner, who also says what goes to `log`.
    Without its owner a process has nothing to do, and ends."""

    def __init__(self, requests: Arena, results: Arena, log: LogSettings) -> None:
        self._requests = requests
        self._results = results
        self._log = log
        self.outbox = Outbox()
        self._reader = FrameReader()
        self._numbers = itertools.count()
        self._under_way: dict[int, _Sent] = {}
        self._gone: set[Pending] = set()
        self.exchanges = RemoteExchanges(requests, results, self._write, self._release_from_anywhere)
        self._layouts: dict[bytes, Layout] = {}
        self._models: dict[tuple[str, int | None], RemoteModel] = {}
        self._asked: set[tuple[str, int | None]] = set()
        self._gathering: Gathering | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._transport: asyncio.Transport | None = None
        self.stopping = asyncio.Event()

    # ------------------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = get_ident()
        self._gathering = Gathering(self._loop.call_soon, self._send_group)

    def connection_lost(self, exc: Exception | None) -> None:
        os._exit(1)

    def listening(self) -> None:
        """Tell the owner that the port is open."""
        self._write(messages.LISTENING)

    def _write(
        self, kind: int, number: int = 0, offset: int = 0, extra: bytes = b"", body: bytes = b"", requests: int = 0
    ) -> None:
        assert self._transport is not None
        self.outbox.put(self._transport, frame(kind, number, offset, extra, body, requests))

    def data_received(self, data: bytes) -> None:
        with self.outbox.together():
            self._take(data)

    def _take(self, data: bytes) -> None:
        for arrived in self._reader.feed(data):
            if arrived.kind == messages.RESULT:
                self._result(arrived)
            elif arrived.kind == messages.REPLY:
                self.exchanges.replied(arrived)
            elif arrived.kind == messages.FAILED:
                self._failed(arrived)
            elif arrived.kind == messages.ELSEWHERE:
                self._elsewhere(arrived)
            elif arrived.kind == messages.MODEL:
                self._described(arrived)
            elif arrived.kind == messages.PING:
                self._write(messages.PONG)
            elif arrived.kind == messages.LOG:
                change(self._log, loads(arrived.body))
                self._log.apply()
            else:
                self.stopping.set()

    # -------------------------------------------------------------------------------------------------------- models

    def model(self, name: str, version: int | None) -> RemoteModel | None:
        """The model if it is known here. If not, it is asked for, and may be known the next time."""
        key = (name, version)
        model = self._models.get(key)
        if model is None and key not in self._asked:
            self._asked.add(key)
            self._write(messages.ASK, body=dumps(key))
        return model

    def _described(self, answer: Frame) -> None:
        name, requested, epoch, version, group_rows = loads(answer.body)
        key = (name, requested)
        self._asked.discard(key)
        if epoch is not None:
            config = ModelConfig()
            config.ParseFromString(answer.extra)
            self._models[key] = RemoteModel(config, version, requested, epoch, self, group_rows)

    def _elsewhere(self, answer: Frame) -> None:
        sent = self._finished(answer)
        key = (sent.model.name, sent.model.requested_version)
        if self._models.get(key) is sent.model:
            del self._models[key]
        for pending in sent.requests:
            pending.fail(Elsewhere())

    # ------------------------------------------------------------------------------------------------------ requests

    def room(self, size: int) -> memoryview:
        """Shared memory to receive a body in: its tensors need not be copied then."""
        return self._requests.view(self._requests.take(size), size, self._requests.give).data

    def find(self, array: Array) -> int | None:
        """Where in shared memory an array lies, if it does."""
        offset = self._requests.find(array)
        return offset if 0 <= offset < CAPACITY else None

    def send(self, kind: SentKind, pending: Pending, tensors: Sequence[Array], start: int | None) -> None:
        """Send a request by itself; `on_done` follows. `tensors` are in wire form; `start` is where the first one lies,
        None when they are not in shared memory yet. Raises Unavailable when there is no room for them."""
        offset, slot = start, None
        if offset is None:
            offset = slot = kind.layouts.of(1).write(self._requests, tensors)
        self._infer(kind, [pending], offset, slot)

    def gather(self, kind: SentKind, pending: Pending) -> None:
        """Send a request together with others of its kind that come in the same moment; `on_done` follows."""
        assert self._gathering is not None
        self._gathering.put(kind, pending)

    def _send_group(self, kind: SentKind, requests: list[Pending]) -> None:
        layout = kind.layouts.of(len(requests))
        try:
            slot = layout.gather(self._requests, [pending.inputs for pending in requests])
        except Unavailable:
            raise Elsewhere from None
        self._infer(kind, requests, slot, slot)

    def _infer(self, kind: SentKind, requests: Sequence[Pending], offset: int, slot: int | None) -> None:
        number = next(self._numbers) % messages.NUMBERS
        self._under_way[number] = _Sent(kind.model, requests, slot)
        self._write(messages.INFER, number, offset, b"", kind.text, len(requests))

    def cancel(self, pending: Pending) -> None:
        """The owner hears of it when nobody of the group is left. It still answers, and the slot is in use until
        then."""
        pending.cancel()
        # Clients often go by the hundreds in one moment, and each group need be looked at only once for all of them.
        if not self._gone:
            asyncio.get_running_loop().call_soon(self._give_up)
        self._gone.add(pending)

    def _give_up(self) -> None:
        gone, self._gone = self._gone, set()
        for number, sent in self._under_way.items():
            if not gone.isdisjoint(sent.requests) and all(each.cancelled for each in sent.requests):
                self._write(messages.CANCEL, number)

    def _finished(self, answer: Frame) -> _Sent:
        sent = self._under_way.pop(answer.number)
        if sent.slot is not None:
            self._requests.give(sent.slot)
        return sent

    def _result(self, answer: Frame) -> None:
        requests = self._finished(answer).requests
        layout = self._layouts.get(answer.body)
        if layout is None:
            layout = remember(self._layouts, answer.body, read_layout(loads(answer.body)))
        if answer.extra:
            for pending in requests:
                pending.response_parameters = loads(answer.extra)
        offset, size = answer.offset, layout.size
        if size <= COPIED_SIZE:
            self._succeed(requests, layout.read(self._results.memory[offset : offset + size], 0))
            self._release(offset)
        else:
            self._succeed(requests, layout.read(self._results.view(offset, size, self._release_from_anywhere), 0))

    def _succeed(self, requests: Sequence[Pending], outputs: dict[str, Array]) -> None:
        for pending, results in zip(requests, split_group(outputs, requests), strict=True):
            if isinstance(results, Unsupported):
                pending.fail(results)
            else:
                pending.succeed(results)

    def _failed(self, answer: Frame) -> None:
        for pending in self._finished(answer).requests:
            pending.fail(read_error(answer.body, pending.label))

    def _release(self, offset: int) -> None:
        self._write(messages.RELEASE, offset=offset)

    def _release_from_anywhere(self, offset: int) -> None:
        """The same for what may have been looked at last by another thread: that which compressed a large reply."""
        assert self._loop is not None
        if get_ident() == self._loop_thread:
            self._release(offset)
        else:
            self._loop.call_soon_threadsafe(self._release, offset)


def read_error(body: bytes, label: str) -> DespinaError:
    """The error that the owner answers with, for the request with this label: the owner knows no ids."""
    word, message, retry_after = loads(body)
    kind = next((kind for kind in DespinaError.__subclasses__() if kind.word == word), Internal)
    error = kind(message.replace(UNKNOWN_LABEL, label))
    if retry_after is not None:
        error.retry_after = retry_after  # type: ignore[attr-defined]
    return error
