"""A kind of infer requests: those that differ in their ids and their tensors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from despina.errors import DespinaError
from despina.http.fixed_text import spans_like
from despina.http.reply_kind import ReplyKind
from despina.http.tensor_sizes import cut
from despina.protocol import tensor_data
from despina.protocol.bytes_tensor import held_bytes
from despina.protocol.decode import FindRegion
from despina.protocol.messages import Array, InferRequest
from despina.protocol.plain_numbers import PlainNumbers
from despina.protocol.plain_texts import PlainTexts
from despina.shared_memory.window import SharedMemory, Window


@dataclass(frozen=True, slots=True)
class InputTemplate:
    """An input whose bytes or elements come with every request. `offset` counts from the end of the JSON and matters
    for binary inputs only; `datatype` and `count` for JSON ones, `plain` for those and for all of BYTES."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    datatype: str
    count: int
    plain: PlainNumbers | PlainTexts | None = None

    def read(self, text: bytes) -> Array:
        """The array that `text` spells. Raises JSONDecodeError or DespinaError when it does not."""
        flat = self.plain.read(text) if self.plain is not None else None
        if flat is None:
            flat = tensor_data.from_json(orjson.loads(text), self.name, self.datatype, self.count)
        return flat.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What a kind of request came to. `fixed` is its JSON without the characters of its ids and the data.
    `correlation_id` is None where each request of the kind has its own. `requested` are the outputs that the scheduler
    is told of, `byte_size` is 0 where texts decide on it, `reply` is None when replies to this kind differ in more than
    data. `outputs_at` says which outputs go to shared memory, and where."""

    fixed: tuple[bytes, ...]
    binary_size: int
    inputs: tuple[InputTemplate, ...]
    rows: int
    shape_key: object
    byte_size: int
    requested: tuple[str, ...] | None
    correlation_id: int | str | None
    request: InferRequest
    reply: ReplyKind | None
    outputs_at: Mapping[str, SharedMemory]

    @property
    def repeats(self) -> bool:
        """Whether requests without an id differ in nothing but what comes behind the first fixed piece."""
        return self.correlation_id is not None

    def take(
        self, request_id: str, correlation_id: int | str | None, data: bytes | memoryview, start: int
    ) -> KnownRequest | None:
        """A request of this kind, with the correlation id that was cut out of its text, if one was. None when it has to
        be decoded."""
        return self.with_inputs(request_id, correlation_id, self.read(data, start))

    def with_inputs(
        self, request_id: str, correlation_id: int | str | None, inputs: dict[str, Array] | None, byte_size: int = 0
    ) -> KnownRequest | None:
        """The same with inputs that have been read, if they could be, and what they take in memory, if that is not
        always the same and known."""
        if correlation_id is None:
            correlation_id = self.correlation_id
        elif self.correlation_id is not None:
            return None
        if correlation_id is None or inputs is None:
            return None
        byte_size = byte_size or self.byte_size or held(inputs)
        known = KnownRequest(self, self.request, request_id, correlation_id, inputs, byte_size)
        if self.outputs_at:
            known.windows = self.find_windows()
            return known if known.windows is not None else None
        return known

    def read(self, data: bytes | memoryview, start: int) -> dict[str, Array] | None:
        """The inputs, of which the first begins at `start`, right behind the first fixed piece. None when the data of
        JSON ones is not as it should be."""
        if len(self.fixed) > 1:
            return self._arrays(bytes(data), start)
        inputs: dict[str, Array] = {}
        for item in self.inputs:
            inputs[item.name] = np.ndarray(item.shape, item.dtype, data, start + item.offset)
        return inputs

    def find_windows(self) -> dict[str, Window] | None:
        """Where the outputs at `outputs_at` go. None when there is no room there any more."""
        return {}

    def _arrays(self, text: bytes, start: int) -> dict[str, Array] | None:
        try:
            if len(self.inputs) == 1 and text.endswith(self.fixed[1]):
                item, end = self.inputs[0], len(text) - len(self.fixed[1])
                return {item.name: item.read(text[start:end])}
        except (orjson.JSONDecodeError, DespinaError):
            return None
        spans = spans_like(text, start, self.fixed)
        return self.read_spans(text, spans) if spans else None

    def read_spans(self, text: bytes, spans: Sequence[tuple[int, int]]) -> dict[str, Array] | None:
        """The inputs whose JSON data is at `spans`. None when it is not as it should be."""
        inputs: dict[str, Array] = {}
        try:
            for item, (begin, end) in zip(self.inputs, spans, strict=True):
                inputs[item.name] = item.read(text[begin:end])
        except (orjson.JSONDecodeError, DespinaError):
            return None
        return inputs


@dataclass(frozen=True, slots=True)
class SizedTemplate(RequestTemplate):
    """A kind with texts as binary data: the sizes that its JSON tells are not the same twice, and cut out as well.
    `byte_size` is what its tensors take beside that data."""

    @property
    def repeats(self) -> bool:
        return False

    def take_sized(
        self, request_id: str, correlation_id: int | str | None, data: memoryview, sizes: Sequence[int]
    ) -> KnownRequest | None:
        """A request of this kind, whose inputs have these sizes in `data`. None when it has to be decoded."""
        byte_size = self.byte_size + len(data)
        return self.with_inputs(request_id, correlation_id, cut(self.inputs, data, sizes), byte_size)


@dataclass(frozen=True, slots=True)
class PlacedTemplate(RequestTemplate):
    """A kind with tensors in shared memory: `inputs_at` says which inputs, and where. The regions are looked up for
    each request."""

    inputs_at: Mapping[str, SharedMemory]
    find_region: FindRegion

    def read(self, data: bytes | memoryview, start: int) -> dict[str, Array] | None:
        if not self.inputs_at:
            return RequestTemplate.read(self, data, start)
        inputs: dict[str, Array] = {}
        try:
            for item in self.inputs:
                place = self.inputs_at.get(item.name)
                if place is None:
                    inputs[item.name] = np.ndarray(item.shape, item.dtype, data, start + item.offset)
                else:
                    inputs[item.name] = np.ndarray(item.shape, item.dtype, self.find_region(place).read())
        except DespinaError:
            return None
        return inputs

    def find_windows(self) -> dict[str, Window] | None:
        find = self.find_region
        try:
            return {name: find(place) for name, place in self.outputs_at.items()}
        except DespinaError:
            return None


@dataclass(slots=True)
class KnownRequest:
    """A request of a known kind: what it has in common with others, and what is its own. `request` says the rest of it,
    without its tensors, `byte_size` what these take in memory."""

    template: RequestTemplate
    request: InferRequest
    id: str
    correlation_id: int | str
    inputs: dict[str, Array]
    byte_size: int
    windows: dict[str, Window] | None = None


def held(inputs: Mapping[str, Array]) -> int:
    """What tensors take in memory, in bytes, where texts decide on it."""
    return sum(map(held_bytes, inputs.values()))
