"""ModelInferRequests that differ from earlier ones in nothing but their ids and the bytes of their tensors.

Clients send the same message again and again around tensors that differ. What comes a second time on a connection is
kept, by the bytes that do not change; then it is neither parsed nor checked again, and its tensors are views of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from despina.grpc.large_request import RAW_INPUT_CONTENTS
from despina.grpc.response_kind import ResponseKind, response_kind
from despina.grpc.wire import few_fields
from despina.protocol.messages import Array, InferRequest
from despina.remember import remember

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.scheduling.pending import Pending
    from despina_backends.wire import DelimitedField

MAX_KINDS = 32
MAX_TEXT = 1024
"""Bytes of a message before its first tensor, beyond which it is not known again."""

MAX_SIZES = 64
"""Sizes of messages of which something is known."""

_ID = 3
_ID_TAG = bytes((_ID << 3 | 2,))
_ONE_BYTE = 0x80
"""Lengths below it take one byte."""


@dataclass(frozen=True, slots=True)
class KnownInput:
    """An input; `offset` is that of its bytes behind the first input's, `head` what is before them in the message."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    head: bytes


@dataclass(frozen=True, slots=True)
class KnownInference:
    """A kind. `before` is what is before the id in the message, `behind` what is between that and the first tensor,
    `size` how many bytes there are from there on. `request` says all but the tensors and the id."""

    before: bytes
    behind: bytes
    size: int
    model: ref[Model]
    version: int | None
    inputs: tuple[KnownInput, ...]
    rows: int
    shape_key: object
    requested: tuple[str, ...] | None
    byte_size: int
    request: InferRequest
    responses: ResponseKind

    def find(self, text: bytes, size: int) -> tuple[str, int] | None:
        """The id of a message of this kind and where its first tensor begins. `text` is how it begins, or all of its
        `size` bytes. None when it is not of this kind."""
        position = len(self.before)
        if not text.startswith(self.before):
            return None
        request_id = ""
        if text.startswith(_ID_TAG, position):
            position += 2
            if position > len(text) or (length := text[position - 1]) >= _ONE_BYTE:
                return None
            written = text[position : position + length]
            if not written.isascii() or b"\0" in written:
                return None
            request_id = written.decode()
            position += length
        position += len(self.behind)
        if size - position != self.size or not text.startswith(self.behind, position - len(self.behind)):
            return None
        return request_id, position

    def read(self, data: bytes | memoryview, start: int) -> dict[str, Array] | None:
        """The inputs, of which the first begins at `start`; None when others are not where they should be."""
        inputs: dict[str, Array] = {}
        for item in self.inputs:
            position = start + item.offset
            if item.offset and data[position - len(item.head) : position] != item.head:
                return None
            inputs[item.name] = np.ndarray(item.shape, item.dtype, data, position)
        return inputs


@dataclass(frozen=True, slots=True)
class Found:
    """A message of a known kind."""

    kind: KnownInference
    model: Model
    id: str
    inputs: dict[str, Array]


class KnownInferences:
    """The kinds of one connection. Most clients send few, but one that batches by itself, or sends texts of any length,
    has one for every shape: a message is looked for by its size first."""

    __slots__ = ("_kinds", "_of_size", "_seen")

    def __init__(self) -> None:
        self._kinds: list[KnownInference] = []
        """Those that were found or kept last are the first."""
        self._of_size: dict[int, KnownInference] = {}
        """The kind of the last message of each size."""
        self._seen: dict[int, None] = {}
        """The sizes of messages that were of no known kind: what comes once is not kept."""

    def find(self, data: bytes | memoryview) -> Found | None:
        """What is known of a message, whose model may have been replaced since."""
        size = len(data)
        text = data if isinstance(data, bytes) else bytes(data[:MAX_TEXT])
        kind = self._of_size.get(size)
        found = None if kind is None else kind.find(text, size)
        if found is None:
            kind, found = self._search(text, size)
        if kind is None or found is None:
            return None
        request_id, start = found
        model, inputs = kind.model(), kind.read(data, start)
        return None if model is None or inputs is None else Found(kind, model, request_id, inputs)

    def _search(self, text: bytes, size: int) -> tuple[KnownInference | None, tuple[str, int] | None]:
        """The kind of a message that is not that of the last one of its size, and what it finds."""
        for number, kind in enumerate(self._kinds):
            found = kind.find(text, size)
            if found is not None:
                self._kinds.insert(0, self._kinds.pop(number))
                remember(self._of_size, size, kind, MAX_SIZES)
                return kind, found
        return None, None

    def keep(
        self, data: bytes | memoryview, request: InferRequest, pending: Pending, model: Model, latest: bool
    ) -> None:
        """Remember a message that was just admitted, if one of its size came before it. `latest`: it names no version
        of the model."""
        if len(data) not in self._seen:
            remember(self._seen, len(data), None, MAX_SIZES)
            return
        kind = _kind(data, request, pending, model, latest)
        if kind is not None:
            self._kinds[:0] = [kind]
            remember(self._of_size, len(data), kind, MAX_SIZES)
            del self._kinds[MAX_KINDS:]


def _kind(
    data: bytes | memoryview, request: InferRequest, pending: Pending, model: Model, latest: bool
) -> KnownInference | None:
    """None when the next message of the kind would differ in more than its id and the bytes of its tensors."""
    if any(array.dtype == object for array in pending.inputs.values()):
        return None  # texts
    fields = few_fields(memoryview(data)) or []
    raw = _raw_contents(fields)
    if not raw or len(raw) != len(request.inputs) or raw[0].begin > MAX_TEXT or pending.empty:
        return None
    inputs = _inputs(data, raw, request, pending)
    responses = response_kind(model, request)
    if inputs is None or responses is None:
        return None
    begin, end = _id_span(fields)
    return KnownInference(
        bytes(data[:begin]),
        bytes(data[end : raw[0].begin]),
        len(data) - raw[0].begin,
        ref(model),
        None if latest else model.version,
        inputs,
        pending.rows,
        pending.shape_key,
        pending.outputs,
        pending.byte_size,
        replace(request, id="", inputs=[]),
        responses,
    )


def _raw_contents(fields: Sequence[DelimitedField]) -> Sequence[DelimitedField]:
    """Those at the end of a message whose fields are in their order; none for others."""
    numbers = [one.number for one in fields]
    if numbers != sorted(numbers) or numbers.count(_ID) > 1 or RAW_INPUT_CONTENTS not in numbers:
        return ()
    return fields[numbers.index(RAW_INPUT_CONTENTS) :]


def _inputs(
    data: bytes | memoryview, raw: Sequence[DelimitedField], request: InferRequest, pending: Pending
) -> tuple[KnownInput, ...] | None:
    found: list[KnownInput] = []
    end = raw[0].begin
    for item, where in zip(request.inputs, raw, strict=True):
        array = pending.inputs[item.name]
        if not isinstance(item.data, memoryview) or array.nbytes != where.end - where.begin:
            return None
        head = bytes(data[end : where.begin])
        found.append(KnownInput(item.name, array.dtype, array.shape, where.begin - raw[0].begin, head))
        end = where.end
    return tuple(found) if end == len(data) else None


def _id_span(fields: Sequence[DelimitedField]) -> tuple[int, int]:
    """Where the id is in a message, or would be: it has fields behind."""
    field = next(one for one in fields if one.number >= _ID)
    return field.start, field.end if field.number == _ID else field.start
