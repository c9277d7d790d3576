"""Reading the members of a request's JSON, with the complaints of the real server (protocol §2.4, §2.5)."""

from collections.abc import Callable
from typing import TypeVar

from despina.errors import Internal
from despina.protocol.json import Json, member

T = TypeVar("T")


def cut_at_nul(text: str) -> str:
    """Names and ids end at an embedded NUL, as they do in the real server."""
    return text if "\0" not in text else text.split("\0", 1)[0]


def read_field(name: str, read: Callable[[Json], T], value: Json, verb: str = "parse") -> T:
    """`read(value)`; its complaint names the field, and what the real server was about to do with it. Raises
    Internal."""
    try:
        return read(value)
    except Internal as error:
        raise Internal(f"Unable to {verb} '{name}': {error.message}") from None


def read_member(name: str, read: Callable[[Json], T], container: Json) -> T:
    """`read` the member `name` of an object. Raises Internal when it is not there, or not what `read` takes."""
    try:
        return read(member(container, name))
    except Internal as error:
        raise Internal(f"Unable to parse '{name}': {error.message}") from None
