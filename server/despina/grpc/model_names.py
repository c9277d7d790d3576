"""Which model a message is about: the name and version that most of them have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.grpc.method import Message
from despina.protocol.fields import cut_at_nul
from despina.protocol.model_version import read_version

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server


def named_version(text: str) -> int | None:
    """The version a message asks for, None for the latest, which is the empty text. Raises InvalidArgument."""
    return read_version(text) if text else None


def named_model(message: Message, server: Server) -> Model:
    """The model version that `name` and `version` of a message are. Raises InvalidArgument, NotFound, Unavailable."""
    version = named_version(message.version)
    return server.models.get(cut_at_nul(message.name), version)
