"""How the real server refuses what is in a message."""

from despina.errors import InvalidArgument
from despina.protocol.fields import cut_at_nul


def refusal(text: str) -> InvalidArgument:
    """An InvalidArgument. Its text ends at a NUL, which a name in it may have."""
    return InvalidArgument(cut_at_nul(text))
