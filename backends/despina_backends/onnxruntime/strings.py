"""BYTES tensors through ONNX Runtime's Python interface, which takes and returns `str`.

Triton hands a model whatever bytes the client sent. Here they are decoded as UTF-8 and, where they are no UTF-8, each
offending byte travels as one private-use character of plane 16 and turns back into that byte on the way out. The 128
characters are a block that no string of the batch uses, so nothing else is changed. To the model such a string is what
it was: no word it knows. A batch whose strings are `str` already needs none of this, and its outputs are left as they
are.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from despina_backends.base import Array, BackendError

_SURROGATES = range(0xDC80, 0xDD00)
"""What Python's `surrogateescape` makes of the bytes 0x80 to 0xFF."""

_BLOCKS = range(0x100000, 0x10FF80, 0x80)
"""First characters of the candidate blocks."""


class ByteEscape:
    """A two-way map between the bytes 0x80 to 0xFF and one block of private-use characters."""

    __slots__ = ("_back", "_there")

    def __init__(self, block: int) -> None:
        self._there = {code: block + index for index, code in enumerate(_SURROGATES)}
        self._back = {there: code for code, there in self._there.items()}

    def decode(self, data: bytes) -> str:
        return data.decode("utf-8", "surrogateescape").translate(self._there)

    def encode(self, text: str) -> bytes:
        return text.translate(self._back).encode("utf-8", "surrogateescape")


def decode_strings(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], ByteEscape | None]:
    """Object arrays of `bytes` as object arrays of `str`, and the escape that was needed, if any.

    Raises BackendError (INVALID_ARG) when the strings use characters of every block, which none does by accident.
    """
    try:
        return {name: _map(array, bytes.decode) for name, array in arrays.items()}, None
    except UnicodeDecodeError:
        escape = ByteEscape(_free_block(arrays))
        return {name: _map(array, escape.decode) for name, array in arrays.items()}, escape


def kinds(parts: Iterable[Array]) -> set[type]:
    """Which of `str` and `bytes` there are among object arrays that hold one of them each."""
    return {type(part.item(0)) for part in parts if part.size}


def all_bytes(array: Array) -> Array:
    """An object array of `bytes` and `str` as one of `bytes`."""
    return _map(array, lambda element: element.encode() if type(element) is str else element)


def encode_strings(array: Array, escape: ByteEscape | None) -> Array:
    """An object array of `str` as an object array of `bytes`."""
    return _map(array, str.encode if escape is None else escape.encode)


def _map(array: Array, function: Callable[[Any], object]) -> Array:
    return np.fromiter(map(function, array.ravel().tolist()), np.object_, array.size).reshape(array.shape)


def _free_block(arrays: Mapping[str, Array]) -> int:
    used = {block for array in arrays.values() for block in _used_blocks(array.ravel().tolist())}
    for block in _BLOCKS:
        if block not in used:
            return block
    names = "', '".join(arrays)
    raise BackendError(
        f"input '{names}': expected UTF-8, got other bytes beside too many private-use characters to map them to",
        "INVALID_ARG",
    )


def _used_blocks(strings: Iterable[bytes]) -> Iterable[int]:
    for data in strings:
        for character in data.decode("utf-8", "surrogateescape"):
            if (code := ord(character)) >= _BLOCKS.start:
                yield code & ~0x7F
