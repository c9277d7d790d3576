"""How the tensors of one request or answer lie in a slot: one after another, BYTES tensors in their wire form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from despina.http.workers.arena import Arena
from despina.protocol import bytes_tensor
from despina.protocol.messages import Array
from despina.remember import remember

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies; `offset` counts from where the first one does. Elements of dtype object are BYTES."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of all tensors, and the bytes they take together."""

    places: tuple[Place, ...]
    size: int

    def write(self, arena: Arena, tensors: Sequence[Array]) -> int:
        """Copy `tensors`, in wire form, to a new slot; its offset. Raises Unavailable."""
        offset = arena.take(self.size)
        for place, tensor in zip(self.places, tensors, strict=True):
            np.ndarray(tensor.shape, tensor.dtype, arena.memory, offset + place.offset)[...] = tensor
        return offset

    def gather(self, arena: Arena, requests: Sequence[Mapping[str, Array]]) -> int:
        """Copy the tensors of a group, none of them BYTES, to a new slot; its offset. Raises Unavailable."""
        offset = arena.take(self.size)
        for place in self.places:
            target: Array = np.ndarray(place.shape, place.dtype, arena.memory, offset + place.offset)
            np.concatenate([tensors[place.name] for tensors in requests], out=target)
        return offset

    def read(self, memory: Any, offset: int) -> dict[str, Array]:
        """The tensors at `offset` of a buffer: views of it, except for BYTES."""
        return {
            place.name: np.ndarray(place.shape, place.dtype, memory, offset + place.offset)
            if not place.dtype.hasobject
            else _elements(place, np.ndarray((place.byte_size,), np.uint8, memory, offset + place.offset))
            for place in self.places
        }

    @property
    def described(self) -> list[list[object]]:
        """As JSON can carry it."""
        return [[place.name, place.dtype.str, place.shape, place.offset, place.byte_size] for place in self.places]


class GroupLayouts:
    """The layouts of groups of requests that all have the layout `one`: input by input, the rows of all of them side by
    side."""

    def __init__(self, one: Layout) -> None:
        self._one = one
        self._known = {1: one}

    def of(self, count: int) -> Layout:
        """That of so many requests, which have a first dimension if it is more than one."""
        return self._known.get(count) or remember(self._known, count, self._repeated(count))

    def _repeated(self, count: int) -> Layout:
        return layout_of(
            tuple(
                (place.name, place.dtype, (count * place.shape[0], *place.shape[1:]), count * place.byte_size)
                for place in self._one.places
            )
        )


def _elements(place: Place, wire: Array) -> Array:
    return bytes_tensor.decode(wire.data, prod(place.shape), place.name, "", "").reshape(place.shape)


LayoutKey = tuple[tuple[str, "np.dtype[np.generic]", tuple[int, ...], int], ...]


def wire_form(tensors: Mapping[str, Array]) -> tuple[LayoutKey, list[Array]]:
    """What the layout of `tensors` depends on, and the tensors themselves with the bytes of BYTES."""
    key: list[tuple[str, np.dtype[np.generic], tuple[int, ...], int]] = []
    written: list[Array] = []
    for name, tensor in tensors.items():
        dtype = tensor.dtype
        wire = np.frombuffer(bytes_tensor.encode(tensor), np.uint8) if dtype.hasobject else tensor
        key.append((name, dtype, tensor.shape, wire.nbytes))
        written.append(wire)
    return tuple(key), written


def layout_of(key: LayoutKey, offsets: Sequence[int] = ()) -> Layout:
    """The layout of tensors with these names, dtypes, shapes and sizes in bytes: one after another, or at `offsets` if
    they lie somewhere already."""
    places: list[Place] = []
    size = 0
    for index, (name, dtype, shape, byte_size) in enumerate(key):
        places.append(Place(name, dtype, shape, offsets[index] if offsets else size, byte_size))
        size += -(-byte_size // ALIGNMENT) * ALIGNMENT
    return Layout(tuple(places), size)


def read_layout(described: Any) -> Layout:
    """A layout from its `described`."""
    entries = [((name, np.dtype(dtype), tuple(shape), size), offset) for name, dtype, shape, offset, size in described]
    return layout_of(tuple([key for key, _ in entries]), [offset for _, offset in entries])
