"""Values that may also be awaited.

Entry scripts were written for two kinds of servers: `data = request.get_data()` and `data = await request.get_data()`.
These types make both lines work on the same request.
"""

from collections.abc import Generator, Iterable
from typing import Any, Generic, Self, TypeVar

Value = TypeVar("Value")


class Awaitable:
    """Awaiting it gives the value itself, at once."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self


class AwaitableBytes(Awaitable, bytes):
    __slots__ = ()


class AwaitableText(Awaitable, str):
    __slots__ = ()


class AwaitableDict(Awaitable, dict[str, Any]):
    __slots__ = ()


class AwaitableList(Awaitable, list[Any]):
    __slots__ = ()


class Values(Awaitable, dict[str, Value], Generic[Value]):
    """The fields of a query or form: indexing gives a field's first value, `getlist` all of them."""

    __slots__ = ("_all",)

    def __init__(self, pairs: Iterable[tuple[str, Value]]) -> None:
        self._all: dict[str, list[Value]] = {}
        for key, value in pairs:
            self._all.setdefault(key, []).append(value)
        super().__init__({key: values[0] for key, values in self._all.items()})

    def getlist(self, key: str) -> list[Value]:
        return list(self._all.get(key, ()))


def awaitable_json(value: Any) -> Any:
    """A parsed JSON document; objects, arrays and strings can be awaited."""
    if isinstance(value, dict):
        return AwaitableDict(value)
    if isinstance(value, list):
        return AwaitableList(value)
    return AwaitableText(value) if isinstance(value, str) else value
