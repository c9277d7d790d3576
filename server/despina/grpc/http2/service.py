"""What connections serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from despina.grpc.http2.connection import Connection
    from despina.grpc.http2.header_blocks import Headers
    from despina.grpc.http2.stream import Receiver, Stream

H = TypeVar("H")


class Service(Protocol[H]):
    """What a connection serves. `H` is what it makes of the headers of a request."""

    def opened(self, connection: Connection[H]) -> None:
        """A client has connected, and with TLS it has shown that it speaks that."""
        ...

    def read_headers(self, headers: Headers) -> H:
        """Must depend on nothing else: equal headers may be read only once."""
        ...

    def open(self, connection: Connection[H], stream: Stream, headers: H) -> Receiver | None:
        """A request has begun. None when it was answered already, and what follows of it is of no interest."""
        ...

    def write(self, connection: Connection[H], data: bytes) -> None:
        """Send `data`, now or with what it leaves together with."""
        ...

    def closed(self, connection: Connection[H]) -> None:
        """The connection is gone."""
        ...
