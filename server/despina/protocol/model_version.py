"""The version of a model as clients write it."""

import re

from despina.errors import InvalidArgument

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)0*([0-9]+)")
_MAX_DIGITS = 19
"""Of the largest integer of 64 bits."""


def read_version(text: str) -> int:
    """The number that `text` begins with, as C reads it: what follows has no effect. Raises InvalidArgument where there
    is none, beyond 64 bits and below 0."""
    match = _NUMBER.match(text)
    if match is None or len(match[2]) > _MAX_DIGITS:
        raise _not_read(text)
    version = int(match[1] + match[2])
    if not -(1 << 63) <= version < 1 << 63:
        raise _not_read(text)
    if version < 0:
        raise InvalidArgument(f"invalid model version specified '{text}' , version should be an integral value > 0")
    return version


def _not_read(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
        "integral value > 0"
    )
