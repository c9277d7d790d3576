"""Is the server alive, is it ready, is a model ready? Also as gRPC's own health checks ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.wrappers_pb2 import Int32Value, StringValue  # type: ignore[import-untyped]  # ships no types

from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.grpc.model_names import named_model

if TYPE_CHECKING:
    from despina.server import Server

LIVE = message_class("ServerLiveResponse")
READY = message_class("ServerReadyResponse")
MODEL_READY = message_class("ModelReadyResponse")

SERVING = 1
NOT_SERVING = 2


async def live(request: Message, server: Server) -> Message:
    """Whether the server works at all. Raises Unavailable once it is ending."""
    server.check_not_exiting()
    return LIVE(live=server.is_live)


async def ready(request: Message, server: Server) -> Message:
    """Whether every model that should be served is. Raises Unavailable once the server is ending."""
    server.check_not_exiting()
    return READY(ready=server.is_ready)


async def model_ready(request: Message, server: Server) -> Message:
    """Whether a model version is ready to infer. Raises InvalidArgument, NotFound, Unavailable where it is not, as
    HTTP does and the newest tritonserver."""
    named_model(request, server)
    return MODEL_READY(ready=True)


async def check(request: Message, server: Server) -> Message:
    """Whether the server is ready, whatever service is asked about."""
    server.check_not_exiting()
    return Int32Value(value=SERVING if server.is_ready else NOT_SERVING)


METHODS = (
    Method("ServerLive", message_class("ServerLiveRequest"), "health", live),
    Method("ServerReady", message_class("ServerReadyRequest"), "health", ready),
    Method("ModelReady", message_class("ModelReadyRequest"), "health", model_ready),
    # The messages of this service are in a package of their own, which they are not worth: on the wire a request with
    # one text and an answer with one enumerator are what these are.
    Method("Check", StringValue, "health", check, service="grpc.health.v1.Health"),
)
