"""The headers of a call (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from despina.grpc.http2.header_blocks import Headers

_OF_GRPC = frozenset({b"te", b"content-type"})


@dataclass(frozen=True, slots=True)
class CallHead:
    """What the headers of a call say. `metadata` are those of the client's own and all others, names in lower case; of
    a name that comes twice the last value counts. `encoding` is how compressed messages of the request are,
    `gzip_level` how much answers to inference are compressed, 0 for not at all."""

    method: bytes
    path: bytes
    content_type: bytes
    encoding: bytes
    gzip_level: int
    metadata: Mapping[bytes, bytes]

    @property
    def own_metadata(self) -> list[tuple[str, str]]:
        """Those of the client's own, as text."""
        return [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.metadata.items()
            if name not in _OF_GRPC and not name.startswith((b":", b"grpc-"))
        ]

    @property
    def trace_context(self) -> dict[str, str]:
        """The headers that say which trace elsewhere a call is part of."""
        return {name: text for name, text in self.own_metadata if name in ("traceparent", "tracestate")}


def read_call_head(headers: Headers, gzip_level: int = 0) -> CallHead:
    """Headers that are missing are empty. `gzip_level` is for clients that can read it."""
    metadata = dict(headers)
    accepted = metadata.get(b"grpc-accept-encoding", b"").replace(b" ", b"").split(b",")
    return CallHead(
        metadata.get(b":method", b""),
        metadata.get(b":path", b""),
        metadata.get(b"content-type", b""),
        metadata.get(b"grpc-encoding", b"identity"),
        gzip_level if b"gzip" in accepted else 0,
        metadata,
    )
