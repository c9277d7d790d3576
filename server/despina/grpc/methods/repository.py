"""Model control: what the repositories hold, load, unload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from despina.errors import InvalidArgument, Unsupported
from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.grpc.text import as_utf8
from despina.models.override import FILE_PREFIX
from despina.protocol.fields import cut_at_nul

if TYPE_CHECKING:
    from despina.server import Server

INDEX = message_class("RepositoryIndexResponse")
LOADED = message_class("RepositoryModelLoadResponse")
UNLOADED = message_class("RepositoryModelUnloadResponse")


async def index(request: Message, server: Server) -> Message:
    """Every model of the repositories, with the state of its versions; those that are ready when `ready` is set."""
    _refuse_repository_name(request)
    rows = await server.models.index(request.ready)
    return INDEX(models=[{field: as_utf8(text) for field, text in row.items()} for row in rows])


async def load(request: Message, server: Server) -> Message:
    """Load or reload a model and wait until it is ready. Parameters may carry a configuration and files."""
    _refuse_repository_name(request)
    parameters = read_load_parameters(request.parameters)
    await server.models.load(cut_at_nul(request.model_name), parameters)
    return LOADED()


async def unload(request: Message, server: Server) -> Message:
    """Stop serving a model. The parameter unload_dependents takes the steps of an ensemble along."""
    _refuse_repository_name(request)
    unload_dependents = read_unload_dependents(request.parameters)
    await server.models.unload(cut_at_nul(request.model_name), unload_dependents)
    return UNLOADED()


def _refuse_repository_name(request: Message) -> None:
    if request.repository_name:
        raise Unsupported("'repository_name' specification is not supported")


def read_load_parameters(parameters: Mapping[str, Message]) -> dict[str, str | bytes]:
    """The parameters of a load request: `config` as text, the content of `file:<path>` as bytes. Raises
    InvalidArgument."""
    return {cut_at_nul(name): _load_parameter(name, value) for name, value in parameters.items()}


def _load_parameter(name: str, value: Message) -> str | bytes:
    if name == "config":
        return cut_at_nul(_chosen(name, value, "string_param"))
    if name.startswith(FILE_PREFIX):
        content: bytes = _chosen(name, value, "bytes_param")
        return content
    raise InvalidArgument(f"unrecognized load parameter '{name}'.")


def _chosen(name: str, value: Message, kind: str) -> Message:
    if value.WhichOneof("parameter_choice") != kind:
        raise InvalidArgument(f"invalid value type for load parameter '{name}', expected {kind}.")
    return getattr(value, kind)


def read_unload_dependents(parameters: Mapping[str, Message]) -> bool:
    """Whether an unload request asks for the steps of an ensemble too. Raises InvalidArgument."""
    if "unload_dependents" not in parameters:
        return False
    value = parameters["unload_dependents"]
    if value.WhichOneof("parameter_choice") != "bool_param":
        raise InvalidArgument("invalid value type for 'unload_dependents' parameter, expected bool_param.")
    return bool(value.bool_param)


METHODS = (
    Method("RepositoryIndex", message_class("RepositoryIndexRequest"), "model-repository", index),
    Method("RepositoryModelLoad", message_class("RepositoryModelLoadRequest"), "model-repository", load),
    Method("RepositoryModelUnload", message_class("RepositoryModelUnloadRequest"), "model-repository", unload),
)
