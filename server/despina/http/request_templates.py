"""What repeats from request to request of a model, kept so that it is worked out once.

Clients send the same JSON again and again around tensors that differ. The first request of a kind is decoded, admitted
and encoded in full; what that came to is kept as a `RequestTemplate` under the bytes that do not change. The next
request with the same bytes only has its ids and its tensors cut out: binary ones as views of the body, JSON ones by
parsing just the arrays. Requests with shared memory are not kept and take the full way, and so does a reply that
differs in more than data (classification, texts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson

from despina.errors import DespinaError
from despina.http.fixed_text import (
    holds_the_inputs,
    spans_like,
    split_at_data,
    tells_its_id_once,
    tells_its_sequence_id_once,
    without_id,
    without_sequence_id,
)
from despina.http.remember import remember
from despina.http.reply_kind import ReplyKind, reply_kind
from despina.protocol import tensor_data
from despina.protocol.messages import Array, InferRequest
from despina.protocol.plain_numbers import PlainNumbers
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model

MAX_TEMPLATES = 1024
MAX_FIXED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class InputTemplate:
    """An input whose bytes or elements come with every request. `offset` counts from the end of the JSON and matters
    for binary inputs only; `datatype`, `count` and `numbers` for JSON ones."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    datatype: str
    count: int
    numbers: PlainNumbers | None = None

    def read(self, text: bytes) -> Array:
        """The array that `text` spells. Raises JSONDecodeError or DespinaError when it does not."""
        flat = self.numbers.read(text) if self.numbers is not None else None
        if flat is None:
            flat = tensor_data.from_json(orjson.loads(text), self.name, self.datatype, self.count)
        return flat.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What a kind of request came to. `fixed` is its JSON without the characters of its ids and the data.
    `correlation_id` is None where each request of the kind has its own. `requested` are the
    outputs that the scheduler is told of, `reply` is None when replies to this kind differ in more than data."""

    fixed: tuple[bytes, ...]
    binary_size: int
    inputs: tuple[InputTemplate, ...]
    rows: int
    shape_key: object
    byte_size: int
    requested: tuple[str, ...] | None
    priority: int
    timeout_us: int
    correlation_id: int | str | None
    sequence_start: bool
    sequence_end: bool
    request: InferRequest
    reply: ReplyKind | None

    def read(self, data: bytes | memoryview, start: int) -> dict[str, Array] | None:
        """The inputs, of which the first begins at `start`, right behind the first fixed piece. None when the data of
        JSON ones is not as it should be."""
        if len(self.fixed) > 1:
            return self._arrays(bytes(data), start)
        inputs: dict[str, Array] = {}
        for item in self.inputs:
            inputs[item.name] = np.ndarray(item.shape, item.dtype, data, start + item.offset)
        return inputs

    def _arrays(self, text: bytes, start: int) -> dict[str, Array] | None:
        inputs: dict[str, Array] = {}
        try:
            if len(self.inputs) == 1 and text.endswith(self.fixed[1]):
                item, end = self.inputs[0], len(text) - len(self.fixed[1])
                inputs[item.name] = item.read(text[start:end])
                return inputs
            spans = spans_like(text, start, self.fixed)
            if not spans:
                return None
            for item, (begin, end) in zip(self.inputs, spans, strict=True):
                inputs[item.name] = item.read(text[begin:end])
        except (orjson.JSONDecodeError, DespinaError):
            return None
        return inputs


@dataclass(slots=True)
class KnownRequest:
    """A request of a known kind: what it has in common with others, and what is its own."""

    template: RequestTemplate
    id: str
    correlation_id: int | str
    inputs: dict[str, Array]


class Templates:
    """The templates of one model version, by the pieces of JSON that do not change: one piece before binary tensors, or
    those around the data of JSON ones. Requests to a `stateful` model may differ in their sequence ids."""

    def __init__(self, model: Model, stateful: bool = False) -> None:
        self._model = model
        self._stateful = stateful
        self._known: dict[tuple[bytes, ...], RequestTemplate] = {}
        self._replies: dict[tuple[object, ...], ReplyKind | None] = {}
        self._last: RequestTemplate | None = None
        """That of the last JSON request: the next one is likely to be of the same kind."""

    # ----------------------------------------------------------------------------------------------- binary requests

    def find_binary(self, body: memoryview, length: int) -> KnownRequest | None:
        """What is known of a body whose first `length` bytes are JSON."""
        request_id, text = without_id(bytes(body[:length]))
        correlation_id: int | str | None = None
        if self._stateful:
            correlation_id, text = without_sequence_id(text)
        template = self._known.get((text,))
        if template is None or template.binary_size != len(body) - length:
            return None
        return _known_request(template, request_id, correlation_id, body, length)

    def keep_binary(self, body: memoryview, length: int, request: InferRequest, pending: Pending) -> None:
        """Remember a request that was just admitted, if its JSON says all there is to say about the next one."""
        marks = self._marks((bytes(body[:length]),), request) if not pending.empty else None
        if marks is None:
            return
        inputs: list[InputTemplate] = []
        offset = 0
        for item in request.inputs:
            array = pending.inputs[item.name]
            if not isinstance(item.data, memoryview) or item.data.obj is not body.obj or array.dtype == object:
                return
            inputs.append(InputTemplate(item.name, array.dtype, array.shape, offset, item.datatype, array.size))
            offset += item.data.nbytes
        if offset == len(body) - length:
            self._keep(marks, offset, inputs, request, pending)

    # ------------------------------------------------------------------------------------------------- JSON requests

    def find_json(self, body: memoryview) -> KnownRequest | None:
        """What is known of a body that is all JSON. None as well when the data is not as it should be: what is wrong
        with it is for the full decoding to say."""
        if not self._known:
            return None
        request_id, text = without_id(bytes(body))
        correlation_id: int | str | None = None
        if self._stateful:
            correlation_id, text = without_sequence_id(text)
        last = self._last
        if last is not None and text.startswith(last.fixed[0]):
            found = _known_request(last, request_id, correlation_id, text, len(last.fixed[0]))
            if found is not None:
                return found
        parts = split_at_data(text)
        template = self._known.get(parts.fixed) if parts is not None else None
        if template is None:
            return None
        found = _known_request(template, request_id, correlation_id, text, len(template.fixed[0]))
        if found is not None:
            self._last = template
        return found

    def keep_json(self, body: memoryview, request: InferRequest, pending: Pending) -> None:
        """Remember a request that was just admitted, if only its data will differ the next time."""
        parts = split_at_data(bytes(body))
        marks = self._marks(parts.fixed, request) if parts and not pending.empty else None
        if parts is None or marks is None or not holds_the_inputs(parts):
            return
        inputs: list[InputTemplate] = []
        for item in request.inputs:
            array = pending.inputs[item.name]
            if not isinstance(item.data, np.ndarray) or array.dtype == object:
                return
            numbers = PlainNumbers.of(item.datatype, array.size)
            inputs.append(InputTemplate(item.name, array.dtype, array.shape, 0, item.datatype, array.size, numbers))
        self._keep(marks, 0, inputs, request, pending)

    # ------------------------------------------------------------------------------------------------------- replies

    def reply_kind(self, request: InferRequest) -> ReplyKind | None:
        """That of the replies to a request; None when these differ in more than data."""
        key = (request.binary_output, *[(output.name, output.binary) for output in request.outputs])
        if any(output.classification or output.shared_memory is not None for output in request.outputs):
            return None
        try:
            return self._replies[key]
        except KeyError:
            return remember(self._replies, key, reply_kind(self._model, request), MAX_TEMPLATES)

    # ------------------------------------------------------------------------------------------------------- keeping

    def _marks(self, pieces: tuple[bytes, ...], request: InferRequest) -> _Marks | None:
        """What the like of a request is recognised by; None when these pieces of it do not suffice."""
        request_id, first = without_id(pieces[0])
        pieces = (first, *pieces[1:])
        text = b"".join(pieces)
        if (
            request_id != request.id
            or not tells_its_id_once(text)
            or len(text) > MAX_FIXED_BYTES
            or request.raw
            or any(output.shared_memory is not None for output in request.outputs)
        ):
            return None
        if self._stateful:
            for number, piece in enumerate(pieces):
                correlation_id, rest = without_sequence_id(piece)
                if correlation_id is not None:
                    once = tells_its_sequence_id_once(text) and correlation_id == request.correlation_id
                    return _Marks((*pieces[:number], rest, *pieces[number + 1 :]), None) if once else None
        return _Marks(pieces, request.correlation_id)

    def _keep(
        self, marks: _Marks, binary_size: int, inputs: list[InputTemplate], request: InferRequest, pending: Pending
    ) -> None:
        template = RequestTemplate(
            marks.fixed,
            binary_size,
            tuple(inputs),
            pending.rows,
            pending.shape_key,
            pending.byte_size,
            pending.outputs,
            request.priority,
            request.timeout_us,
            marks.correlation_id,
            request.sequence_start,
            request.sequence_end,
            InferRequest(outputs=request.outputs, parameters=request.parameters, binary_output=request.binary_output),
            self.reply_kind(request),
        )
        remember(self._known, marks.fixed, template, MAX_TEMPLATES)


@dataclass(frozen=True, slots=True)
class _Marks:
    """What `RequestTemplate` says of its members of these names."""

    fixed: tuple[bytes, ...]
    correlation_id: int | str | None


def _known_request(
    template: RequestTemplate,
    request_id: str,
    correlation_id: int | str | None,
    data: bytes | memoryview,
    start: int,
) -> KnownRequest | None:
    """`correlation_id` is the one that was cut out of the text, if one was."""
    if correlation_id is None:
        correlation_id = template.correlation_id
    elif template.correlation_id is not None:
        return None
    if correlation_id is None:
        return None
    inputs = template.read(data, start)
    return KnownRequest(template, request_id, correlation_id, inputs) if inputs is not None else None
