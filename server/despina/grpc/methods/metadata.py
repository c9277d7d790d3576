"""What the server is, what a model takes and gives, how it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.grpc.model_names import named_model
from despina.grpc.text import as_utf8
from despina.http.endpoints.metadata import describe_model, describe_server

if TYPE_CHECKING:
    from despina.server import Server

SERVER = message_class("ServerMetadataResponse")
MODEL = message_class("ModelMetadataResponse")
CONFIG = message_class("ModelConfigResponse")


async def server_metadata(request: Message, server: Server) -> Message:
    """Name, version and protocol extensions of the server."""
    described = describe_server(server)
    return SERVER(name=as_utf8(described.pop("name")), **described)


async def model_metadata(request: Message, server: Server) -> Message:
    """Inputs and outputs of a model, and its versions that are ready. Raises InvalidArgument, NotFound, Unavailable."""
    model = named_model(request, server)
    return MODEL(**describe_model(model, [model.version] if request.version else server.models.versions(model.name)))


async def model_config(request: Message, server: Server) -> Message:
    """The configuration a model runs with, and what was completed from the model in it. Raises InvalidArgument,
    NotFound, Unavailable."""
    return CONFIG(config=named_model(request, server).config)


METHODS = (
    Method("ServerMetadata", message_class("ServerMetadataRequest"), "metadata", server_metadata),
    Method("ModelMetadata", message_class("ModelMetadataRequest"), "metadata", model_metadata),
    Method("ModelConfig", message_class("ModelConfigRequest"), "model-config", model_config),
)
