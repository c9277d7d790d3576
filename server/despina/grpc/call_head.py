"""The headers of a call (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from despina.grpc.http2.header_blocks import Headers


@dataclass(frozen=True, slots=True)
class CallHead:
    """What the headers of a call say. `metadata` are those of the client's own and all others, names in lower case; of
    a name that comes twice the last value counts. `encoding` is how compressed messages of the request are."""

    method: bytes
    path: bytes
    content_type: bytes
    encoding: bytes
    accepts_gzip: bool
    metadata: Mapping[bytes, bytes]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The metadata as text."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.metadata.items()]

    @property
    def trace_context(self) -> dict[str, str]:
        """The headers that say which trace elsewhere a call is part of."""
        return {name: text for name, text in self.texts if name in ("traceparent", "tracestate")}


def read_call_head(headers: Headers) -> CallHead:
    """Headers that are missing are empty."""
    metadata = dict(headers)
    return CallHead(
        metadata.get(b":method", b""),
        metadata.get(b":path", b""),
        metadata.get(b"content-type", b""),
        metadata.get(b"grpc-encoding", b"identity"),
        b"gzip" in metadata.get(b"grpc-accept-encoding", b"").replace(b" ", b"").split(b","),
        metadata,
    )
