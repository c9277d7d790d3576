"""The v1 protocol of KServe: which models are there, is one ready, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.http.endpoint import Endpoint, Place, reading
from despina.http.json_body import json_response, read_model_and_body
from despina.http.paths import path_model
from despina.http.submission import output_tensors, submit
from despina.protocol.kserve_v1 import V1Input, predictions, read_request

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server


def list_models(place: Place, server: Server) -> Response:
    """The names of the models that are ready."""
    names = sorted({model.name for model in server.models.ready_models()})
    return json_response({"models": names})


def model_ready(place: Place, server: Server) -> Response:
    """Whether a model is ready; an error if it is not."""
    return json_response({"name": path_model(place, server).name, "ready": True})


async def predict(request: Request, server: Server) -> Response:
    """Infer in the v1 protocol: `instances` lists the inputs row by row, `inputs` gives them whole; `predictions` or
    `outputs` comes back."""
    model, body = await read_model_and_body(request, server)
    batches = model.signature.max_batch_size > 0
    v1_request = read_request(body, model.name, describe_inputs(model), batches)
    pending = await submit(request, model, lambda: v1_request.infer)
    if pending.error is not None:
        raise pending.error
    return json_response(predictions(v1_request, output_tensors(model, pending), batches))


def describe_inputs(model: Model) -> dict[str, V1Input]:
    """The inputs of a model; shapes without the batch dimension."""
    return {
        name: V1Input(spec.datatype.name, spec.dims, spec.optional) for name, spec in model.signature.inputs.items()
    }


# A name in a path stops at "/" only, so the paths with a verb behind the colon come first.
ENDPOINTS = (
    reading("/v1/models", "metadata", list_models),
    Endpoint(("POST",), "/v1/models/{model}:predict", "inference", predict),
    Endpoint(("POST",), "/v1/models/{model}/versions/{version:int}:predict", "inference", predict),
    reading("/v1/models/{model}", "health", model_ready),
    reading("/v1/models/{model}/versions/{version:int}", "health", model_ready),
)
