"""POST .../generate and .../generate_stream (protocol §1.8).

Responses are chunked, and their status is that of the first response of the model; what fails before the model has the
request is an ordinary error. The header `endpoint-load-metrics-format` asks for figures of a key-value cache, which a
server of ONNX models does not have; so it is ignored, as tritonserver does in that case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.errors import DespinaError, InvalidArgument
from despina.http.app import error_response
from despina.http.endpoint import Endpoint
from despina.http.json_body import JSON, read_model_and_body
from despina.http.submission import output_tensors, submit
from despina.protocol.generate import GenerateInput, encode_response, event, read_request

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.protocol.messages import InferRequest
    from despina.scheduling.pending import Pending
    from despina.server import Server


async def generate(request: Request, server: Server) -> Response:
    """Infer from plain JSON: its fields are the inputs by name, and request parameters; the outputs come back as fields
    too."""
    status, body = await _answer(request, server)
    return _in_chunks(body, status, JSON)


async def generate_stream(request: Request, server: Server) -> Response:
    """Infer from plain JSON; the response comes as a server-sent event. Its data is what `generate` answers with."""
    status, body = await _answer(request, server)
    return _in_chunks(event(body), status, "text/event-stream; charset=utf-8")


def _in_chunks(body: bytes, status: int, media_type: str) -> Response:
    """A response that does not say how long it is. There is but one piece of it, so nothing needs to be streamed."""
    response = Response(body, status, media_type=media_type)
    del response.headers["content-length"]
    return response


async def _answer(request: Request, server: Server) -> tuple[int, bytes]:
    """Status and JSON of the one response that every model here gives."""
    model, body = await read_model_and_body(request, server)
    encoding = request.headers.get("content-encoding", "identity")

    def read() -> InferRequest:
        if encoding != "identity":
            raise InvalidArgument("Unsupported content-encoding, only 'identity' is supported.")
        return read_request(body, describe_inputs(model), server.limits)

    pending = await submit(request, model, read)
    try:
        if pending.error is not None:
            raise pending.error
        return 200, _encode(model, pending)
    except DespinaError as error:
        response = error_response(error)
        return response.status_code, bytes(response.body)


def _encode(model: Model, pending: Pending) -> bytes:
    outputs = output_tensors(model, pending)
    return encode_response(model.name, model.version, pending.id, outputs, pending.response_parameters)


def describe_inputs(model: Model) -> dict[str, GenerateInput]:
    """The inputs of a model as its metadata shows them."""
    batch = (-1,) if model.signature.max_batch_size > 0 else ()
    return {name: GenerateInput(spec.datatype.name, batch + spec.dims) for name, spec in model.signature.inputs.items()}


ENDPOINTS = tuple(
    Endpoint(("POST",), f"/v2/models/{{model}}{version}/{action}", "inference", handle)
    for version in ("", "/versions/{version:int}")
    for action, handle in (("generate", generate), ("generate_stream", generate_stream))
)
