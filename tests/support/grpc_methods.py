"""Asks a method of the gRPC service, by its name, as a client would: everything goes over the wire's form once."""

from typing import Any

from despina.grpc.messages import message_class
from despina.grpc.methods import METHODS

BY_NAME = {method.name: method for method in METHODS}


async def ask_method(server: Any, called: str, /, **fields: Any) -> Any:
    """The answer to a request with these fields. Raises DespinaError."""
    method = BY_NAME[called]
    request = method.request.FromString(method.request(**fields).SerializeToString())
    answer = await method.handle(request, server)
    return type(answer).FromString(answer.SerializeToString())


def parameter(**value: Any) -> Any:
    """A parameter of a load or unload request."""
    return message_class("ModelRepositoryParameter")(**value)
