"""Request headers that become request parameters (`--http-header-forward-pattern`, protocol §5)."""

import re
from collections.abc import Iterable

from despina.errors import InvalidArgument

RESERVED = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"}
)
_RESERVED_PREFIX = "triton_"


class HeaderForwarding:
    """Forwards the headers whose name contains a match of `pattern`, in upper or lower case."""

    def __init__(self, pattern: str) -> None:
        """Raises InvalidArgument for a pattern that is no regular expression."""
        try:
            self._pattern = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise InvalidArgument(f"invalid header forward pattern '{pattern}': {error}") from None

    def parameters(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The parameters that the headers make. Their names are in lower case: HTTP servers do not tell how a client
        spelled them. Raises InvalidArgument when a name has a meaning of its own."""
        forwarded: dict[str, str] = {}
        for name, value in headers:
            if self._pattern.search(name):
                if name in RESERVED or name.startswith(_RESERVED_PREFIX):
                    raise InvalidArgument(f"Header '{name}' is reserved for Triton usage and cannot be forwarded.")
                forwarded[name] = value
        return forwarded
