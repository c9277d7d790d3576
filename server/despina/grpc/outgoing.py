"""Messages of an answer as they go into its data, each behind a head: whether it is compressed, and its size."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from despina.grpc.http2.stream import Buffer

HEAD_SIZE = 5

GZIP_LEVELS: Mapping[str, int] = MappingProxyType({"none": 0, "low": 1, "medium": 6, "high": 9})
"""Those of zlib, by the words of `--grpc-infer-response-compression-level`."""


def prefixed(message: Sequence[Buffer]) -> tuple[tuple[Buffer, ...], int]:
    """A message with its head in front, and the bytes of both together."""
    size = sum(map(len, message))
    return (size.to_bytes(HEAD_SIZE), *message), size + HEAD_SIZE


def packed(message: Sequence[Buffer], level: int) -> tuple[tuple[Buffer, ...], int]:
    """The same with the message as gzip."""
    packer = zlib.compressobj(level, wbits=31)
    data = b"".join((*map(packer.compress, message), packer.flush()))
    return (b"\1", len(data).to_bytes(4), data), len(data) + HEAD_SIZE
