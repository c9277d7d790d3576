"""Dims of tensors: those that the model itself sees, and how they are written."""

from collections.abc import Iterable

from despina.config.proto import Message


def model_dims(tensor: Message) -> tuple[int, ...]:
    """The dims of an input or output inside of its model: those of `reshape` where it has one; no batch dimension."""
    return tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def shape_text(dims: Iterable[int]) -> str:
    """`[-1,224,224]`, the way error texts spell shapes."""
    return f"[{','.join(map(str, dims))}]"
