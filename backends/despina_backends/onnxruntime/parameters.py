"""Values of configuration parameters, which are all strings."""

from despina_backends.base import BackendError

_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


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
        raise BackendError(f"failed to convert '{text}' to integral number", "INVALID_ARG") from None
