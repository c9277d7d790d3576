"""Fields of protobuf messages that are written by hand, around data that is not copied."""

from functools import lru_cache


@lru_cache(maxsize=1024)
def field_head(number: int, size: int) -> bytes:
    """What is before the `size` bytes of field `number`, which is bytes or a message and below 16."""
    head = bytearray((number << 3 | 2,))
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
