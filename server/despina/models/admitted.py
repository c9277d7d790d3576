"""Requests that fit a model, and which sets of arrays are known to.

Whether arrays fit depends on their names, shapes and dtypes alone, and those of an ensemble's steps are the same from
request to request. To look them up takes a tenth of checking them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from despina.protocol.messages import Array
from despina.remember import remember

MAX_KINDS = 64
"""How many kinds of sets of arrays a model remembers."""

Kind = tuple[tuple[str, tuple[int, ...], np.dtype[np.generic]], ...]
"""Name, shape and dtype of each array."""


@dataclass(slots=True)
class Admitted:
    """A request that fits the model: arrays in the shapes the backend takes, rows (1 when the model does not batch),
    the key that keeps different shapes out of one batch, and what the arrays take in memory. One that is `empty`, a
    batch of no rows, has as many as a full batch, so that it shares none."""

    inputs: dict[str, Array]
    rows: int
    shape_key: object
    byte_size: int
    empty: bool = False


def kind_of(inputs: Mapping[str, Array]) -> Kind:
    return tuple([(name, array.shape, array.dtype) for name, array in inputs.items()])


class KnownArrays:
    """What sets of arrays came to that were admitted."""

    def __init__(self) -> None:
        self._known: dict[Kind, tuple[dict[str, tuple[int, ...]], Admitted]] = {}

    def find(self, kind: Kind, inputs: Mapping[str, Array]) -> Admitted | None:
        """`inputs`, which are of that kind, as they were admitted before. None if they never were."""
        known = self._known.get(kind)
        if known is None:
            return None
        shapes, like = known
        arrays = {name: array.reshape(shapes[name]) for name, array in inputs.items()} if shapes else dict(inputs)
        return Admitted(arrays, like.rows, like.shape_key, like.byte_size, like.empty)

    def keep(self, kind: Kind, admitted: Admitted) -> None:
        """Remember arrays that were admitted, unless they are texts: what those take is not told by their shape."""
        if any(dtype.hasobject for _, _, dtype in kind):
            return
        shapes = {name: array.shape for name, array in admitted.inputs.items()}
        as_they_are = all(shape == shapes[name] for name, shape, _ in kind)
        like = Admitted({}, admitted.rows, admitted.shape_key, admitted.byte_size, admitted.empty)
        remember(self._known, kind, ({} if as_they_are else shapes, like), MAX_KINDS)
