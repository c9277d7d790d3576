"""inference.GRPCInferenceService: which call goes where, and who may make it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Forbidden, Unauthenticated, Unsupported
from despina.grpc.answers import UNSUPPORTED_MEDIA_TYPE, refusal
from despina.grpc.call_head import CallHead, read_call_head
from despina.grpc.http2.connection import Connection
from despina.grpc.http2.header_blocks import Headers
from despina.grpc.http2.stream import Receiver, Stream
from despina.grpc.infer_call import InferCall
from despina.grpc.inference import Client
from despina.grpc.method import SERVICE, Method
from despina.grpc.method_call import MethodCall
from despina.grpc.methods import METHODS
from despina.grpc.outgoing import GZIP_LEVELS
from despina.grpc.status import code_of
from despina.grpc.stream_call import StreamCall
from despina.http.auth import KEY_REQUIRED, ApiKeys

if TYPE_CHECKING:
    from despina.server import Server

_log = logging.getLogger(__name__)

ENCODINGS = (b"identity", b"gzip", b"deflate")
OPEN_METHODS = frozenset({"ServerLive", "ServerReady", "Check"})
"""What probes ask, without a key."""

MakeCall = Callable[["Server", Stream, CallHead, Client], Receiver]


@dataclass(frozen=True, slots=True)
class Kind:
    """A method, as `category` of `--grpc-restricted-protocol`, and what makes a call of it. One that is `open` wants no
    key."""

    category: str | None
    make: MakeCall
    open: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes: to `kind`, unless it is answered with the headers `refusal` at once."""

    head: CallHead
    kind: Kind | None
    refusal: bytes = b""


def _kinds() -> dict[bytes, Kind]:
    """Every method by its path."""
    kinds = {method.path.encode(): _kind(method) for method in METHODS}
    kinds[f"/{SERVICE}/ModelInfer".encode()] = Kind("inference", InferCall)
    kinds[f"/{SERVICE}/ModelStreamInfer".encode()] = Kind("inference", StreamCall)
    return kinds


def _kind(method: Method) -> Kind:
    def make(server: Server, stream: Stream, head: CallHead, client: Client) -> Receiver:
        return MethodCall(server, stream, head, client, method)

    return Kind(method.category, make, method.name in OPEN_METHODS)


class InferenceService:
    """The service on all its connections."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._kinds = _kinds()
        self._keys = ApiKeys(server.settings.api_key)
        self._restricted = server.settings.grpc_restricted_protocol
        self._gzip_level = GZIP_LEVELS[server.settings.grpc_infer_response_compression_level]
        self._put = server.outbox.put
        self._leaving = False
        self.connections: dict[Connection[Route], Client] = {}
        self.all_closed: Callable[[], None] = _nothing
        """Called when the last connection is gone."""

    def connection(self) -> Connection[Route]:
        """For a client who is about to connect."""
        return Connection(self)

    def take_leave(self) -> None:
        """Take no further requests, on no connection."""
        self._leaving = True
        for connection in list(self.connections):
            connection.take_leave(server_ends=True)

    def opened(self, connection: Connection[Route]) -> None:
        """Implements `Service`, as what follows does."""
        self.connections[connection] = Client()
        settings = self._server.settings
        if settings.grpc_max_connection_age:
            grace_ms = settings.grpc_max_connection_age_grace
            connection.take_leave_after(settings.grpc_max_connection_age / 1000, grace_ms / 1000 or None)
        if self._leaving:
            connection.take_leave(server_ends=True)

    def read_headers(self, headers: Headers) -> Route:
        head = read_call_head(headers, self._gzip_level)
        if head.method != b"POST" or not head.content_type.startswith(b"application/grpc"):
            return Route(head, None, UNSUPPORTED_MEDIA_TYPE)
        try:
            return Route(head, self._find(head))
        except DespinaError as error:
            return Route(head, None, refusal(code_of(error), error.message))

    def open(self, connection: Connection[Route], stream: Stream, headers: Route) -> Receiver | None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("gRPC request: %s", headers.head.path.decode("latin-1"))
        if headers.kind is None:
            stream.end(headers.refusal)
            return None
        return headers.kind.make(self._server, stream, headers.head, self.connections[connection])

    def write(self, connection: Connection[Route], data: bytes) -> None:
        self._put(connection.transport, data)

    def closed(self, connection: Connection[Route]) -> None:
        self.connections.pop(connection, None)
        if not self.connections:
            self.all_closed()

    def _find(self, head: CallHead) -> Kind:
        kind = self._kinds.get(head.path)
        if kind is None:
            raise Unsupported("")
        if not kind.open and not self._keys.admit(head.metadata):
            raise Unauthenticated(KEY_REQUIRED)
        if kind.category is not None and kind.category in self._restricted:
            header, value = self._restricted[kind.category]
            if head.metadata.get(header.encode()) != value.encode():
                raise Forbidden(f"This protocol is restricted, expecting header '{header}'")
        if head.encoding not in ENCODINGS:
            raise Unsupported(f"Unsupported compression type '{head.encoding.decode('latin-1')}': send gzip or deflate")
        return kind


def _nothing() -> None:
    """Nobody waits for it."""
