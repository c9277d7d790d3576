"""Fields of protobuf messages, around data that is not copied: found, and written by hand."""

from functools import lru_cache
from itertools import islice

from despina_backends.wire import DelimitedField, delimited_fields

MAX_FIELDS = 256
"""Of a message with more, each is small, and protobuf is faster."""


def few_fields(message: memoryview) -> list[DelimitedField] | None:
    """The fields of the outermost level that have a length. None when there are many, and where it is for protobuf to
    say what `message` is."""
    try:
        fields = list(islice(delimited_fields(message), MAX_FIELDS + 1))
    except (IndexError, ValueError):
        return None
    return fields if len(fields) <= MAX_FIELDS else None


@lru_cache(maxsize=1024)
def field_head(number: int, size: int) -> bytes:
    """What is before the `size` bytes of field `number`, which is bytes or a message and below 16."""
    head = bytearray((number << 3 | 2,))
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
