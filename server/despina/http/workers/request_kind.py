"""What requests of a kind have in common. A front end sends the same bytes for each of them, and the owner knows them
by these bytes, as heads and JSON of clients are known by theirs."""

from __future__ import annotations

from dataclasses import dataclass

from despina.http.workers.layout import Layout, read_layout
from despina.protocol.json import dumps, loads


@dataclass(frozen=True, slots=True)
class RequestKind:
    """`epoch` is the owner's number for the model object that the request was checked against; `latest` says that the
    client named no version. The rest is as in `Pending`."""

    epoch: int
    latest: bool
    layout: Layout
    rows: int
    outputs: tuple[str, ...] | None
    priority: int
    timeout_us: int

    def encode(self) -> bytes:
        fields = [self.epoch, self.latest, self.layout.described, self.rows]
        return dumps([*fields, self.outputs, self.priority, self.timeout_us])


def decode_kind(text: bytes) -> RequestKind:
    epoch, latest, layout, rows, outputs, priority, timeout_us = loads(text)
    wanted = None if outputs is None else tuple(outputs)
    return RequestKind(epoch, latest, read_layout(layout), rows, wanted, priority, timeout_us)
