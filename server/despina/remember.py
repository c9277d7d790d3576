"""A limited memory in a dictionary. All of it is forgotten when it is full: to know what is oldest, every lookup would
have to take note."""

from typing import TypeVar

MAX_REMEMBERED = 1024

K = TypeVar("K")
V = TypeVar("V")


def remember(known: dict[K, V], key: K, value: V, most: int = MAX_REMEMBERED) -> V:
    """Keep `value` among at most `most`."""
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value
