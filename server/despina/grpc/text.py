"""Texts as messages can carry them."""


def as_utf8(text: str) -> str:
    """Bytes that are no UTF-8, which names of files and words of the command line may have, become replacement
    characters: protobuf would refuse the whole message."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
