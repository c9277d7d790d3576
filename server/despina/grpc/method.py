"""One row of the gRPC surface: a method with one request and one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from despina.server import Server

Message = Any
"""An instance of a message class, see `message_class`."""

SERVICE = "inference.GRPCInferenceService"


@dataclass(frozen=True, slots=True)
class Method:
    """`name` is that of the method in its `service`, `request` the class of its message, `category` the protocol of
    `--grpc-restricted-protocol` or None. `handle` raises DespinaError."""

    name: str
    request: type[Message]
    category: str | None
    handle: Callable[[Message, Server], Awaitable[Message]]
    service: str = SERVICE

    @property
    def path(self) -> str:
        """What a client asks for it by."""
        return f"/{self.service}/{self.name}"
