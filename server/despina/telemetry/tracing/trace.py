"""What one traced request leaves behind.

A trace is a list of entries, filled on the event loop and turned into text (or spans) elsewhere, after it is closed. An
ensemble's request opens a child per step; the traces of one request are a group, with the root first, and go to the
sink together when the root is closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from despina.telemetry.tracing.values import TENSORS, TIMESTAMPS


@dataclass(frozen=True, slots=True)
class Request:
    """Which model answers; `request_id` may be empty."""

    model_name: str
    model_version: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment of `time.monotonic_ns`."""

    name: str
    ns: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """The content of a tensor, copied. `activity` is TENSOR_QUEUE_INPUT or TENSOR_BACKEND_OUTPUT."""

    activity: str
    name: str
    datatype: str
    shape: tuple[int, ...]
    array: NDArray[np.generic]


Entry = Request | Stamp | Tensor


class Trace:
    """One request to one model. `timestamps` and `tensors` say which entries are wanted; the others cost a test."""

    __slots__ = ("_finish", "_ids", "carrier", "entries", "group", "id", "parent_id", "tensors", "timestamps")

    def __init__(
        self,
        ids: Iterator[int],
        levels: tuple[str, ...],
        finish: Callable[[list[Trace]], None],
        carrier: Mapping[str, str] | None = None,
        parent: Trace | None = None,
    ) -> None:
        self.id = next(ids)
        self.parent_id = parent.id if parent else 0
        self.group: list[Trace] = parent.group if parent else []
        self.group.append(self)
        self.timestamps = TIMESTAMPS in levels
        self.tensors = TENSORS in levels
        self.entries: list[Entry] = []
        self.carrier = carrier
        self._ids = ids
        self._finish = finish

    def start_request(self, model_name: str, model_version: int, request_id: str, ns: int | None = None) -> None:
        """REQUEST_START, preceded by what the request is."""
        if self.timestamps:
            self.entries.append(Request(model_name, model_version, request_id))
            self.stamp("REQUEST_START", ns)

    def stamp(self, name: str, ns: int | None = None) -> None:
        """`ns` is a moment of `time.monotonic_ns`, now if left out."""
        if self.timestamps:
            self.entries.append(Stamp(name, time.monotonic_ns() if ns is None else ns))

    def tensor(
        self, activity: str, name: str, datatype: str, shape: tuple[int, ...], array: NDArray[np.generic]
    ) -> None:
        """`array` holds the elements in row order, as backends see them; it may be overwritten afterwards."""
        if self.tensors:
            self.entries.append(Tensor(activity, name, datatype, tuple(shape), array.copy()))

    def child(self) -> Trace:
        """The trace of one step of this request."""
        levels = (TIMESTAMPS,) * self.timestamps + (TENSORS,) * self.tensors
        return Trace(self._ids, levels, self._finish, parent=self)

    def close(self) -> None:
        """Nothing more comes. Closing the root hands the group over; children only stop being written to."""
        if self.parent_id == 0:
            self._finish(self.group)
