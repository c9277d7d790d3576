"""What repeats from request to request of a model, kept so that it is worked out once.

Clients send the same JSON again and again around tensors that differ. The first request of a kind is decoded, admitted
and encoded in full; what that came to is kept as a `RequestTemplate` under the bytes that do not change. The next
request with the same bytes only has its tensors cut out: binary ones as views of the body, JSON ones by parsing just
the arrays. Anything unusual (an id, parameters, shared memory, classification) is not kept and takes the full way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import orjson

from despina.errors import DespinaError
from despina.protocol import tensor_data
from despina.protocol.encode import Buffer, encode_output, json_data, response_frame
from despina.protocol.json import loads, loads_first_wins
from despina.protocol.messages import Array, InferRequest, OutputTensor
from despina.protocol.tensor_data import PlainNumbers
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model

MAX_TEMPLATES = 128
MAX_FIXED_BYTES = 4096
_DATA = b'"data":'

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class InputTemplate:
    """An input whose bytes or elements come with every request. `offset` counts from the start of the body and matters
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
    """What a kind of request came to. `outputs` are the wanted ones in the order of the reply, `requested` what the
    scheduler is told of them; `binary` says for each whether it comes back as binary data; empty when replies of this
    kind are not kept. `frames` maps the shapes of the outputs to the JSON around their data."""

    body_size: int
    inputs: tuple[InputTemplate, ...]
    rows: int
    shape_key: object
    byte_size: int
    requested: tuple[str, ...] | None
    priority: int
    timeout_us: int
    request: InferRequest
    outputs: tuple[tuple[str, str], ...]
    binary: tuple[bool, ...]
    frames: dict[tuple[tuple[int, ...], ...], tuple[bytes, ...]] = field(default_factory=dict)


class Templates:
    """The templates of one model version."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._binary: dict[bytes, RequestTemplate] = {}
        self._json: dict[tuple[bytes, ...], RequestTemplate] = {}

    # ----------------------------------------------------------------------------------------------- binary requests

    def find_binary(self, body: memoryview, length: int) -> tuple[RequestTemplate, dict[str, Array]] | None:
        """Template and inputs of a body whose first `length` bytes are JSON, if that JSON is known."""
        template = self._binary.get(bytes(body[:length]))
        if template is None or template.body_size != len(body):
            return None
        return template, {item.name: np.ndarray(item.shape, item.dtype, body, item.offset) for item in template.inputs}

    def keep_binary(self, body: memoryview, length: int, request: InferRequest, pending: Pending) -> None:
        """Remember a request that was just admitted, if its JSON says all there is to say about the next one."""
        if length > MAX_FIXED_BYTES or not _is_plain(request):
            return
        inputs: list[InputTemplate] = []
        offset = length
        for item in request.inputs:
            array = pending.inputs[item.name]
            if not isinstance(item.data, memoryview) or item.data.obj is not body.obj or array.dtype == object:
                return
            inputs.append(InputTemplate(item.name, array.dtype, array.shape, offset, item.datatype, array.size))
            offset += item.data.nbytes
        if offset == len(body):
            _keep(self._binary, bytes(body[:length]), self._template(len(body), inputs, request, pending))

    # ------------------------------------------------------------------------------------------------- JSON requests

    def find_json(self, body: memoryview) -> tuple[RequestTemplate, dict[str, Array]] | None:
        """Template and inputs of a body that is all JSON, if everything around its data is known. None as well when the
        data is not as it should be: what is wrong with it is for the full decoding to say."""
        if not self._json:
            return None
        text = bytes(body)
        parts = split_at_data(text)
        template = self._json.get(parts.fixed) if parts else None
        if template is None or parts is None:
            return None
        inputs: dict[str, Array] = {}
        try:
            for item, (start, end) in zip(template.inputs, parts.spans, strict=True):
                inputs[item.name] = item.read(text[start:end])
        except (orjson.JSONDecodeError, DespinaError):
            return None
        return template, inputs

    def keep_json(self, body: memoryview, request: InferRequest, pending: Pending) -> None:
        """Remember a request that was just admitted, if only its data will differ the next time."""
        if not _is_plain(request):
            return
        parts = split_at_data(bytes(body))
        if parts is None or sum(map(len, parts.fixed)) > MAX_FIXED_BYTES or not holds_the_inputs(parts):
            return
        inputs: list[InputTemplate] = []
        for item in request.inputs:
            array = pending.inputs[item.name]
            if not isinstance(item.data, np.ndarray) or array.dtype == object:
                return
            numbers = PlainNumbers.of(item.datatype, array.size)
            inputs.append(InputTemplate(item.name, array.dtype, array.shape, 0, item.datatype, array.size, numbers))
        _keep(self._json, parts.fixed, self._template(len(body), inputs, request, pending))

    # ------------------------------------------------------------------------------------------------------- replies

    def _template(
        self, body_size: int, inputs: list[InputTemplate], request: InferRequest, pending: Pending
    ) -> RequestTemplate:
        outputs, binary = self._reply_outputs(request)
        return RequestTemplate(
            body_size,
            tuple(inputs),
            pending.rows,
            pending.shape_key,
            pending.byte_size,
            pending.outputs,
            request.priority,
            request.timeout_us,
            InferRequest(outputs=request.outputs, binary_output=request.binary_output),
            outputs,
            binary,
        )

    def _reply_outputs(self, request: InferRequest) -> tuple[tuple[tuple[str, str], ...], tuple[bool, ...]]:
        """Names and datatypes of the outputs, and which are binary; nothing when replies differ in more than data."""
        signature = self._model.signature
        wanted = {output.name: output for output in request.outputs}
        if any(output.classification for output in request.outputs):
            return (), ()
        names = [name for name in signature.output_order if not wanted or name in wanted]
        specs = [signature.outputs[name] for name in names]
        if any(spec.reshape is not None or spec.datatype.kind in ("bytes", "half") for spec in specs):
            return (), ()
        binary = tuple(wanted[name].binary if wanted else request.binary_output for name in names)
        return tuple((spec.name, spec.datatype.name) for spec in specs), binary

    def compose(self, template: RequestTemplate, pending: Pending) -> tuple[list[Buffer], int] | None:
        """Buffers of the reply and the length of its JSON if binary data follows; None for the full way."""
        results = pending.results
        assert results is not None
        if not template.binary or pending.response_parameters or len(results) < len(template.outputs):
            return None
        arrays = [results[name] for name, _ in template.outputs]
        shapes = tuple([array.shape for array in arrays])
        frame = template.frames.get(shapes)
        if frame is None:
            frame = self._frame(template, arrays)
            if frame is None:
                return None
            _keep(template.frames, shapes, frame)
        return _fill(frame, template, arrays)

    def _frame(self, template: RequestTemplate, arrays: list[Array]) -> tuple[bytes, ...] | None:
        if any(array.ndim == 0 or not array.size or not array.flags.c_contiguous for array in arrays):
            return None
        described = [
            encode_output(OutputTensor(name, datatype, array), binary)
            for (name, datatype), array, binary in zip(template.outputs, arrays, template.binary, strict=True)
        ]
        return response_frame(self._model.name, self._model.version, "", described)


def _fill(frame: tuple[bytes, ...], template: RequestTemplate, arrays: list[Array]) -> tuple[list[Buffer], int] | None:
    if len(frame) == 1:
        for array in arrays:
            if not array.flags.c_contiguous:
                return None
        return [frame[0], *[array.data for array in arrays]], len(frame[0])
    pieces = [frame[0]]
    blobs: list[Buffer] = []
    for (name, datatype), array, binary in zip(template.outputs, arrays, template.binary, strict=True):
        if not array.flags.c_contiguous:
            return None
        if binary:
            blobs.append(array.data)
        else:
            pieces += (json_data(OutputTensor(name, datatype, array)), frame[(len(pieces) + 1) // 2])
    head = b"".join(pieces)
    return [head, *blobs], len(head) if blobs else 0


def _is_plain(request: InferRequest) -> bool:
    return not (
        request.id
        or request.correlation_id
        or request.sequence_start
        or request.sequence_end
        or request.parameters
        or request.raw
        or any(output.shared_memory is not None for output in request.outputs)
    )


def _keep(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= MAX_TEMPLATES:
        known.clear()
    known[key] = value


@dataclass(frozen=True, slots=True)
class JsonParts:
    """A JSON text cut into its `data` arrays, at `spans`, and what is `fixed` before, between and after them."""

    fixed: tuple[bytes, ...]
    spans: tuple[tuple[int, int], ...]


def split_at_data(text: bytes) -> JsonParts | None:
    """Cut out the arrays behind every `"data":`, found by their brackets alone; None when there is none. Whether a
    piece really is an array is for the JSON parser to say."""
    fixed: list[bytes] = []
    spans: list[tuple[int, int]] = []
    position = 0
    while (mark := text.find(_DATA, position)) >= 0:
        start = mark + len(_DATA)
        while text[start : start + 1] == b" ":
            start += 1
        depth = 0
        while text[start + depth : start + depth + 1] == b"[":
            depth += 1
        end = text.find(b"]" * depth, start) if depth else -1
        if end < 0:
            return None
        fixed.append(text[position:start])
        position = end + depth
        spans.append((start, position))
    fixed.append(text[position:])
    return JsonParts(tuple(fixed), tuple(spans)) if spans else None


def holds_the_inputs(parts: JsonParts) -> bool:
    """Whether the pieces that were cut out are the data of the inputs, all of them, in order, and nothing else:
    `"data":` may stand anywhere, a key may be there twice or be written differently, and a piece may end too early.
    Told by parsing the document with a number in place of each piece."""
    text = parts.fixed[0] + b"".join([b"%d%b" % numbered for numbered in enumerate(parts.fixed[1:])])
    try:
        document = loads(text)
        if document != loads_first_wins(text):
            return False
        return [entry.get("data") for entry in document["inputs"]] == list(range(len(parts.spans)))
    except (DespinaError, AttributeError, KeyError, TypeError, RecursionError):
        return False
