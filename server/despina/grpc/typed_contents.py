"""The `contents` of an input, which has a field of numbers or texts for every kind of datatype (protocol §7)."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from despina.grpc.method import Message
from despina.grpc.refusal import refusal
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.messages import Array

_ACCEPTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bool_contents": ("BOOL",),
        "int_contents": ("INT8", "INT16", "INT32"),
        "int64_contents": ("INT64",),
        "uint_contents": ("UINT8", "UINT16", "UINT32"),
        "uint64_contents": ("UINT64",),
        "fp32_contents": ("FP32",),
        "fp64_contents": ("FP64",),
        "bytes_contents": ("BYTES",),
    }
)
"""The datatypes a field serves; the last one is that of its elements."""

_SENT_AS_IN_MEMORY = frozenset({"BOOL", "FP32", "FP64"})
"""Datatypes whose elements have the same bytes in a serialized message. To take these needs a tenth of the time it
takes to look at one element after the other."""


def typed_contents(tensor: Message, datatype: str, model: str) -> Array | memoryview:
    """The flat array of an input's elements, or no bytes when there are none. Whether they are as many as its shape
    says is left to the model's signature. Raises InvalidArgument when they are not of the `datatype`."""
    contents = tensor.contents
    filled = contents.ListFields()  # in the order in which the real server looks at them
    if not filled:
        return memoryview(b"")
    field, elements = filled[0]
    accepted = _ACCEPTED[field.name]
    if datatype not in accepted:
        raise _unexpected(
            tensor,
            model,
            f" of type '{accepted[-1]}', expected datatype '{datatype if datatype in DATATYPES else '<invalid>'}'",
        )
    if len(filled) > 1:
        raise _unexpected(tensor, model, ", binary data was already supplied.")
    if datatype in _SENT_AS_IN_MEMORY:
        return _array_as_sent(contents, len(elements), DATATYPES[datatype])
    return _array(elements, DATATYPES[accepted[-1]], DATATYPES[datatype])


def _unexpected(tensor: Message, model: str, why: str) -> Exception:
    return refusal(f"unexpected explicit tensor data for input tensor '{tensor.name}' for model '{model}'{why}")


def _array_as_sent(contents: Message, count: int, datatype: Datatype) -> Array:
    """The elements of contents that have nothing else."""
    contents.DiscardUnknownFields()
    packed = contents.SerializeToString()
    return np.frombuffer(packed[-count * datatype.size :], datatype.dtype)


def _array(elements: Message, sent: Datatype, datatype: Datatype) -> Array:
    """Elements that were `sent` as one datatype as those of another, into which integers wrap."""
    array: Array = np.fromiter(elements[:], sent.dtype, len(elements))
    return array.astype(datatype.dtype, copy=False)
