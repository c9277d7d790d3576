"""What repeats from request to request of a model, kept so that it is worked out once.

Clients send the same JSON again and again around tensors that differ. The first requests of a kind are decoded,
admitted and encoded in full; what the second one came to is kept as a `RequestTemplate` under the bytes that do not
change. The next request with the same bytes only has its ids and its tensors cut out: binary ones as views of the body,
JSON ones by parsing just the arrays, those in shared memory from there. A request whose bytes are new is known as well
by what it says of its inputs and outputs, if that has come before (request_description.py). A reply that differs in
more than data (classification) takes the full way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from despina.http.fixed_text import holds_the_inputs, split_at_data, without_id, without_sequence_id
from despina.http.placed_outputs import windows_of
from despina.http.reply_kind import ReplyKind, form_of, reply_kind
from despina.http.request_description import Described, describe
from despina.http.request_marks import marks_of
from despina.http.request_template import InputTemplate, KnownRequest, PlacedTemplate, RequestTemplate, SizedTemplate
from despina.http.sized_templates import SizedTemplates
from despina.http.tensor_sizes import holds_the_sizes, split_at_sizes
from despina.protocol.bytes_tensor import held_beside
from despina.protocol.decode import FindRegion, no_shared_memory
from despina.protocol.messages import Array, InferRequest
from despina.protocol.plain_numbers import PlainNumbers
from despina.protocol.plain_texts import PlainTexts
from despina.remember import remember
from despina.scheduling.pending import Pending
from despina.shared_memory.window import SharedMemory, Window

if TYPE_CHECKING:
    from despina.models.model import Model

MAX_TEMPLATES = 1024
MAX_SEEN = 2 * MAX_TEMPLATES
"""More would find kinds to keep that are forgotten again before they come the next time."""
MAX_REPLY_KINDS = 64
"""Lists of outputs that clients ask for; each has up to a thousand shapes."""
MAX_FIXED_BYTES = 4096

_BYTES = b'"BYTES"'


class Templates:
    """The templates of one model version, by the pieces of JSON that do not change: one piece before binary tensors, or
    those around the data of JSON ones. Requests to a `stateful` model may differ in their sequence ids."""

    def __init__(self, model: Model, stateful: bool = False, find_region: FindRegion = no_shared_memory) -> None:
        self._model = model
        self._find_region = find_region
        self._stateful = stateful
        self._known: dict[tuple[bytes, ...], RequestTemplate] = {}
        self._sized = SizedTemplates(MAX_TEMPLATES)
        """Those of requests with texts as binary data."""
        self._described: dict[tuple[bytes, ...], RequestTemplate] = {}
        """By what requests say of their inputs and outputs, for those whose text is new."""
        self._seen: dict[int, None] = {}
        """Hashes of the pieces of requests that may be kept the next time, and of their descriptions."""
        self._keeps_text = self._keeps_description = False
        """Whether the last request that was looked for in vain comes again: by its pieces, or by its description."""
        self._replies: dict[tuple[object, ...], ReplyKind | None] = {}
        self._last: RequestTemplate | None = None
        """That of the last JSON request: the next one is likely to be of the same kind."""

    # ----------------------------------------------------------------------------------------------- binary requests

    def find_binary(self, body: memoryview, length: int) -> KnownRequest | None:
        """What is known of a body whose first `length` bytes are JSON."""
        request_id, whole = without_id(bytes(body[:length]))
        correlation_id, text = without_sequence_id(whole) if self._stateful else (None, whole)
        size = len(body) - length
        sized = self._sized.like_last(text, size)
        if sized is not None:
            return sized.take_sized(request_id, correlation_id, body[length:], (size,))
        template = self._known.get((text,))
        if template is not None and template.binary_size == size:
            return template.take(request_id, correlation_id, body, length)
        if _BYTES in text:
            sized, pieces, sizes = self._sized.find(text)
            if sized is not None:
                return sized.take_sized(request_id, correlation_id, body[length:], sizes)
            # Descriptions would have the sizes in them.
            self._keeps_text, self._keeps_description = self._comes_again(pieces), False
            return None
        described = self._find_described((text,), (whole,))
        if described is None or described.template.binary_size != size:
            return None
        return self._take(described, request_id, described.template.read(body, length))

    def keep_binary(
        self, body: memoryview, length: int, request: InferRequest, pending: Pending, max_input_size: int
    ) -> None:
        """Remember a request that was just admitted and is not the first of its kind, if its JSON says all there is to
        say about the next one."""
        if not (self._keeps_text or self._keeps_description) or pending.empty:
            return
        text = bytes(body[:length])
        has_texts = any(array.dtype == object for array in pending.inputs.values())
        pieces = split_at_sizes(text)[0] if has_texts else (text,)
        if has_texts and not holds_the_sizes(pieces):
            return
        inputs: list[InputTemplate] = []
        places: dict[str, SharedMemory] = {}
        offset = 0
        for item in request.inputs:
            array = pending.inputs[item.name]
            plain = self._plain_texts(array, max_input_size)
            inputs.append(InputTemplate(item.name, array.dtype, array.shape, offset, item.datatype, array.size, plain))
            if isinstance(item.data, Window):
                places[item.name] = item.data.place
            elif isinstance(item.data, memoryview) and item.data.obj is body.obj:
                offset += item.data.nbytes
            else:
                return
        if offset == len(body) - length:
            self._keep(pieces, offset, inputs, request, pending, places, has_texts)

    def _plain_texts(self, array: Array, max_input_size: int) -> PlainTexts | None:
        return PlainTexts(array.size, self._model.takes_text, max_input_size) if array.dtype == object else None

    # ------------------------------------------------------------------------------------------------- JSON requests

    def find_json(self, body: memoryview) -> KnownRequest | None:
        """What is known of a body that is all JSON. None as well when the data is not as it should be: what is wrong
        with it is for the full decoding to say."""
        request_id, whole = without_id(bytes(body))
        correlation_id, text = without_sequence_id(whole) if self._stateful else (None, whole)
        last = self._last
        if last is not None and text.startswith(last.fixed[0]):
            found = last.take(request_id, correlation_id, text, len(last.fixed[0]))
            if found is not None:
                return found
        parts = split_at_data(text)
        pieces = (text,) if parts is None else parts.fixed
        template = self._known.get(pieces)
        if template is None:
            if correlation_id is not None:
                parts = split_at_data(whole)
            described = self._find_described(pieces, (whole,) if parts is None else parts.fixed)
            if described is None or described.template.binary_size:
                return None
            template = described.template
            inputs = template.read(b"", 0) if parts is None else template.read_spans(whole, parts.spans)
            return self._take(described, request_id, inputs)
        if parts is None:
            return template.take(request_id, correlation_id, b"", 0) if not template.binary_size else None
        found = template.take(request_id, correlation_id, text, len(template.fixed[0]))
        if found is not None:
            self._last = template
        return found

    def keep_json(self, body: memoryview, request: InferRequest, pending: Pending, max_input_size: int) -> None:
        """Remember a request that was just admitted and is not the first of its kind, if only its data will differ the
        next time."""
        if not (self._keeps_text or self._keeps_description) or pending.empty:
            return
        parts = split_at_data(bytes(body))
        if parts is None:
            self.keep_binary(body, len(body), request, pending, max_input_size)
            return
        if not holds_the_inputs(parts):
            return
        inputs: list[InputTemplate] = []
        for item in request.inputs:
            array = pending.inputs[item.name]
            if not isinstance(item.data, np.ndarray):
                return
            plain = self._plain_texts(array, max_input_size) or PlainNumbers.of(item.datatype, array.size)
            inputs.append(InputTemplate(item.name, array.dtype, array.shape, 0, item.datatype, array.size, plain))
        self._keep(parts.fixed, 0, inputs, request, pending)

    # --------------------------------------------------------------------------------------------- requests of new text

    def _find_described(self, marks: tuple[bytes, ...], pieces: tuple[bytes, ...]) -> Described | None:
        """What is known of a request in `pieces` by what it says of its inputs and outputs."""
        self._keeps_text, self._keeps_description = self._comes_again(marks), False
        description = describe(pieces)
        if description is None:
            return None
        template = self._described.get(description.key)
        if template is None:
            self._keeps_description = self._comes_again(description.key)
            return None
        return Described(template, pieces, description.request)

    def _take(self, described: Described, request_id: str, inputs: dict[str, Array] | None) -> KnownRequest | None:
        """The request with inputs that have been read, if they could be, and the id that was cut out of its text, if
        one was."""
        template, request = described.template, described.request
        found = template.with_inputs(request_id or request.id, request.correlation_id, inputs)
        if found is not None:
            request.outputs = template.request.outputs
            found.request = request
            if self._keeps_text:
                self._keep_text(template, described.pieces, request)
        return found

    # ------------------------------------------------------------------------------------------------------- replies

    def reply_kind(self, request: InferRequest) -> ReplyKind | None:
        """That of the replies to a request; None when these differ in more than data."""
        if any(output.classification for output in request.outputs):
            return None
        key = (request.binary_output, *[(output.name, form_of(output)) for output in request.outputs])
        try:
            return self._replies[key]
        except KeyError:
            return remember(self._replies, key, reply_kind(self._model, request), MAX_REPLY_KINDS)

    # ------------------------------------------------------------------------------------------------------- keeping

    def _comes_again(self, fixed: tuple[bytes, ...]) -> bool:
        """Whether these pieces are short and have come before. Keeping what comes once takes as long as decoding."""
        if sum(map(len, fixed)) > MAX_FIXED_BYTES:
            return False
        known = hash(fixed) in self._seen
        if not known:
            remember(self._seen, hash(fixed), None, MAX_SEEN)
        return known

    def _keep(
        self,
        pieces: tuple[bytes, ...],
        binary_size: int,
        inputs: list[InputTemplate],
        request: InferRequest,
        pending: Pending,
        inputs_at: Mapping[str, SharedMemory] = MappingProxyType({}),
        sized: bool = False,
    ) -> None:
        outputs_at = {name: window.place for name, window in (windows_of(request) or {}).items()}
        make: Callable[..., RequestTemplate] = RequestTemplate
        if sized:
            if inputs_at or outputs_at:
                return
            make = SizedTemplate
        elif inputs_at or outputs_at:
            make = partial(PlacedTemplate, inputs_at=inputs_at, find_region=self._find_region)
        # Without the windows, which would keep the memory of regions open.
        outputs = [replace(output, shared_memory=outputs_at.get(output.name)) for output in request.outputs]
        template = make(
            (),
            binary_size,
            tuple(inputs),
            pending.rows,
            pending.shape_key,
            _byte_size(inputs, pending, sized),
            pending.outputs,
            None,
            InferRequest(outputs=outputs),
            self.reply_kind(request),
            outputs_at,
        )
        if self._keeps_text:
            self._keep_text(template, pieces, request)
        if not sized:
            self._keep_description(template, pieces)

    def _keep_text(self, template: RequestTemplate, pieces: tuple[bytes, ...], request: InferRequest) -> None:
        """Know requests like this one, which came to `template`, by its pieces."""
        marks = marks_of(pieces, request, self._stateful, MAX_FIXED_BYTES)
        if marks is not None:
            # The id has been cut out, and may be long.
            request = replace(request, id="", inputs=[], outputs=template.request.outputs)
            kept = replace(template, fixed=marks.fixed, correlation_id=marks.correlation_id, request=request)
            if isinstance(kept, SizedTemplate):
                self._sized.keep(marks.fixed, kept)
            else:
                remember(self._known, marks.fixed, kept, MAX_TEMPLATES)

    def _keep_description(self, template: RequestTemplate, pieces: tuple[bytes, ...]) -> None:
        """Know requests by what this one, which came to `template`, says of its inputs and outputs."""
        description = describe(pieces)
        if description is not None and len(description.key[-1]) <= MAX_FIXED_BYTES:
            remember(self._described, description.key, template, MAX_TEMPLATES)


def _byte_size(inputs: list[InputTemplate], pending: Pending, sized: bool) -> int:
    """What a template says its tensors take."""
    texts = [item for item in inputs if item.dtype == object]
    if sized:
        return sum([held_beside(item.count) for item in texts])
    return 0 if texts else pending.byte_size
