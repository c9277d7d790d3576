"""POST .../infer as an ordinary endpoint: what the lane leaves over (large and packed or chunked, forwarded headers).

The body goes through the same exchange as in the lane; only the first and the last hop differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from despina.errors import DespinaError
from despina.http.app import error_response
from despina.http.compression import IN_THREAD_SIZE, decompress, negotiate, work_size
from despina.http.endpoint import Endpoint
from despina.http.forwarding import HeaderForwarding
from despina.http.infer_exchange import InferExchange, InferReply, compressed
from despina.http.paths import path_model
from despina.http.reply_head import whole_seconds
from despina.http.submission import trace_context, while_connected
from despina.protocol.decode import content_length
from despina.protocol.messages import InferRequest

if TYPE_CHECKING:
    from despina.server import Server

P = ParamSpec("P")
T = TypeVar("T")


async def infer(request: Request, server: Server) -> Response:
    """Run a model. Tensors travel as JSON, as binary data behind the JSON, or in shared memory."""
    path_model(request, server)  # raises at once where there is none
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        try:
            body = await _off_loop(work_size(body), decompress, body, encoding, server.limits.max_input_size)
        except DespinaError as error:
            response = error_response(error)
            response.headers["accept-encoding"] = "gzip, deflate"
            return response
    announced = request.headers.get("content-length")
    if announced is not None:
        content_length(announced)
    answer: asyncio.Future[InferReply] = asyncio.get_running_loop().create_future()
    amend = _forward_headers(request, server.forwarding) if server.forwarding else None

    def replied(reply: InferReply) -> None:
        if not answer.done():
            answer.set_result(reply)

    # Only now: while the body came, another model may have taken the place of the one that was there.
    exchange = InferExchange(server, path_model(request, server), replied, amend, request.client)
    header_length = request.headers.get("inference-header-content-length")
    exchange.start(memoryview(body), header_length, carrier=trace_context(request))
    try:
        reply = await while_connected(request, answer)
    except (asyncio.CancelledError, ClientDisconnect):
        exchange.abandon()
        raise
    return await _respond(reply, request, server)


def _forward_headers(request: Request, forwarding: HeaderForwarding) -> Callable[[InferRequest], None]:
    return lambda decoded: decoded.parameters.update(forwarding.parameters(request.headers.items()))


async def _respond(reply: InferReply, request: Request, server: Server) -> Response:
    if reply.status == 200 and server.settings.response_compression:
        encoding = negotiate(request.headers.get("accept-encoding", ""))
        if encoding:
            reply = await _off_loop(reply.size, compressed, reply, encoding)
    headers = {"content-type": "application/octet-stream" if reply.header_length else "application/json"}
    if reply.header_length:
        headers["inference-header-content-length"] = str(reply.header_length)
    if reply.encoding:
        headers["content-encoding"] = reply.encoding
    if reply.retry_after is not None:
        headers["retry-after"] = str(whole_seconds(reply.retry_after))
    return Response(b"".join(reply.buffers), reply.status, headers)


async def _off_loop(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    if size >= IN_THREAD_SIZE:
        return await asyncio.to_thread(function, *args, **kwargs)
    return function(*args, **kwargs)


ENDPOINTS = (
    Endpoint(("POST",), "/v2/models/{model}/infer", "inference", infer),
    Endpoint(("POST",), "/v2/models/{model}/versions/{version:int}/infer", "inference", infer),
)
