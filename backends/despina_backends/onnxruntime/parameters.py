"""Values of configuration parameters, which are all strings."""

import re
from collections.abc import Mapping

from despina_backends.base import BackendError

_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_LEADING_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")


def boolean(text: str) -> bool:
    """`true/on/1` or `false/off/0`, whatever the case. Raises BackendError (INVALID_ARG)."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise BackendError(f"failed to convert '{text}' to boolean", "INVALID_ARG") from None


def integer(text: str) -> int:
    """A decimal number. Raises BackendError (INVALID_ARG)."""
    try:
        return int(text)
    except ValueError:
        raise _not_integral(text) from None


def leading_integer(text: str) -> int:
    """The decimal number that `text` begins with; what follows, as in "4.0", counts for nothing, as in tritonserver.
    Raises BackendError (INVALID_ARG)."""
    match = _LEADING_INTEGER.match(text)
    if match is None:
        raise _not_integral(text)
    return int(match[1])


def _not_integral(text: str) -> BackendError:
    return BackendError(f"failed to convert '{text}' to integral number", "INVALID_ARG")


def own_boolean(parameters: Mapping[str, str], name: str) -> bool:
    """A parameter that tritonserver does not have, false where it is left out. Raises BackendError (INVALID_ARG)."""
    text = parameters.get(name, "false")
    try:
        return boolean(text)
    except BackendError:
        raise BackendError(f"parameter '{name}': expected true or false, got '{text}'", "INVALID_ARG") from None
