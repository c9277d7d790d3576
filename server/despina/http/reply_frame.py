"""A reply of a known kind: all that is around the data of its outputs, written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from despina.protocol import bytes_tensor
from despina.protocol.encode import Buffer, EncodedOutput, binary_data, json_data, response_frame
from despina.protocol.messages import Array, OutputTensor, Parameter

SMALL_DATA = 4096
"""Bytes of a reply's tensors that are copied rather than passed on as views."""


Form = Literal["JSON", "binary", "placed"]
"""How an output comes back: among the JSON, behind it, or in shared memory."""


@dataclass(frozen=True, slots=True)
class ReplyFrame:
    """The JSON around the data of a reply: what is `before` all of it, and for each output its datatype and what comes
    `after` its data, None where that is binary and nothing where it is in shared memory; `binary_size` is that of all
    binary data. The data of `small` ones is copied: that takes less than handling a view of it. With texts as binary
    data, whose size is not the same twice, `after` is what comes behind that size, and `forms` are those of all
    outputs."""

    before: bytes
    outputs: tuple[tuple[str, bytes | None], ...]
    binary_size: int
    small: bool
    forms: tuple[Form, ...] = ()


def frame_around(
    model: str,
    version: int,
    outputs: Sequence[tuple[str, str]],
    forms: Sequence[Form],
    arrays: list[Array],
    parameters: Mapping[str, Parameter] | None = None,
) -> ReplyFrame | None:
    """The frame of replies of a model version whose outputs have these names and datatypes, `forms`, and the shapes of
    `arrays`. None where replies differ in more than data."""
    if any(array.ndim == 0 or not array.size or not array.flags.c_contiguous for array in arrays):
        return None
    described = [
        _without_data(OutputTensor(name, datatype, array), form)
        for (name, datatype), form, array in zip(outputs, forms, arrays, strict=True)
    ]
    before, *after = response_frame(model, version, "", described, parameters)
    ends = iter(after)
    parts: list[tuple[str, bytes | None]] = []
    for (_, datatype), form, output in zip(outputs, forms, described, strict=True):
        gap = form == "JSON" or not output.sized
        parts.append((datatype, next(ends) if gap else b"" if form == "placed" else None))
    if not all(output.sized for output in described):
        return ReplyFrame(before, tuple(parts), 0, False, tuple(forms))
    binary_size = sum(array.nbytes for array, form in zip(arrays, forms, strict=True) if form == "binary")
    return ReplyFrame(before, tuple(parts), binary_size, sum(array.nbytes for array in arrays) <= SMALL_DATA)


def _without_data(tensor: OutputTensor, form: Form) -> EncodedOutput:
    """An output as far as a frame tells of it: to write its data as well would take as long as the whole reply."""
    if form == "JSON":
        return EncodedOutput(tensor, data=b"")
    if form == "placed":
        return EncodedOutput(tensor)
    if tensor.datatype == "BYTES":
        return EncodedOutput(tensor, binary=b"", sized=False)
    return EncodedOutput(tensor, binary=binary_data(tensor.datatype, tensor.array))


def filled(frame: ReplyFrame, arrays: list[Array], request_id: str) -> tuple[list[Buffer], int, int] | None:
    """Buffers of the reply with the data of `arrays`, their size, and the length of its JSON if binary data follows.
    None for arrays that do not lie as they should, and for ids that are not UTF-8."""
    text = frame.before
    if request_id:
        try:
            text = b'{"id":%b,%b' % (orjson.dumps(request_id), text[1:])
        except TypeError:
            return None
    small = frame.small
    if not small:
        if frame.forms:
            return _filled_with_texts(frame, arrays, text)
        if not all(array.flags.c_contiguous for array in arrays):
            return None
    if len(arrays) == 1 and small and frame.binary_size:
        length = len(text)
        return [text, arrays[0].tobytes()], length + frame.binary_size, length
    buffers: list[Buffer] = [text]
    for array, (datatype, after) in zip(arrays, frame.outputs, strict=True):
        if after is None:
            buffers.append(array.tobytes() if small else array.data)
        elif after:
            text = buffers[0] = b"".join((text, json_data(datatype, array), after))
    length, binary_size = len(text), frame.binary_size
    return buffers, length + binary_size, length if binary_size else 0


def _filled_with_texts(frame: ReplyFrame, arrays: list[Array], before: bytes) -> tuple[list[Buffer], int, int]:
    """The same where texts are binary data, with what is `before` all data."""
    if len(arrays) == 1:
        after = frame.outputs[0][1]
        assert after is not None
        data = bytes_tensor.encode(arrays[0])
        text = b"%b%d%b" % (before, len(data), after)
        return [text, data], len(text) + len(data), len(text)
    pieces = [before]
    tensors: list[Buffer] = []
    for array, (datatype, after), form in zip(arrays, frame.outputs, frame.forms, strict=True):
        if form == "JSON":
            pieces.append(json_data(datatype, array))
        elif form == "binary":
            tensors.append(binary_data(datatype, array))
            if after is not None:
                pieces.append(b"%d" % len(tensors[-1]))
        if after is not None:
            pieces.append(after)
    text = b"".join(pieces)
    return [text, *tensors], len(text) + sum(map(len, tensors)), len(text)
