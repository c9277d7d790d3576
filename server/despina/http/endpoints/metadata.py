"""What the server is, what a model takes and gives, how it is configured (protocol §1.2, §1.3, §1.5)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from despina.config.render import to_json
from despina.http.endpoint import Place, reading
from despina.http.json_body import JSON, json_response
from despina.http.paths import path_model
from despina.models.tensor_spec import TensorSpec
from despina.protocol.json import dumps
from despina.remember import remember

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server

EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)


MAX_DOCUMENTS = 8
"""Of one version: its configuration, and metadata with other versions beside it."""


def server_metadata(place: Place, server: Server) -> Response:
    """Name, version and protocol extensions of the server."""
    return json_response(describe_server(server))


def describe_server(server: Server) -> dict[str, Any]:
    """Name, version and protocol extensions of the server."""
    return {"name": server.settings.id, "version": server.version, "extensions": EXTENSIONS}


def model_metadata(place: Place, server: Server) -> Response:
    """Inputs and outputs of a model, and its versions that are ready. Shapes begin with the batch dimension, if any."""
    model = path_model(place, server)
    versions = [model.version] if "version" in place.path_params else server.models.versions(model.name)
    return _document(model, tuple(versions), lambda: describe_model(model, versions))


def describe_model(model: Model, versions: Sequence[int]) -> dict[str, Any]:
    """Inputs and outputs of a model, with these `versions`. Shapes begin with the batch dimension, if any."""
    signature = model.signature
    batches = signature.max_batch_size > 0
    return {
        "name": model.name,
        "versions": [str(version) for version in versions],
        "platform": model.config.platform or model.config.backend,
        "inputs": [_describe(spec, batches) for spec in signature.inputs.values()],
        # As often as the configuration names it, which may be twice.
        "outputs": [_describe(signature.outputs[output.name], batches) for output in model.config.output],
    }


def _describe(spec: TensorSpec, batches: bool) -> dict[str, Any]:
    shape = (-1, *spec.dims) if batches else spec.dims
    return {"name": spec.name, "datatype": spec.datatype.name, "shape": shape}


def model_config(place: Place, server: Server) -> Response:
    """The configuration a model runs with, as JSON. What was completed from the model is in it."""
    model = path_model(place, server)
    return _document(model, "config", lambda: to_json(model.config))


def _document(model: Model, key: Hashable, write: Callable[[], dict[str, Any]]) -> Response:
    """What `write` says of a model, written once."""
    document = model.documents.get(key)
    if document is None:
        document = remember(model.documents, key, dumps(write()), MAX_DOCUMENTS)
    return Response(document, media_type=JSON)


ENDPOINTS = (
    reading("/v2", "metadata", server_metadata),
    reading("/v2/models/{model}", "metadata", model_metadata),
    reading("/v2/models/{model}/versions/{version:int}", "metadata", model_metadata),
    reading("/v2/models/{model}/config", "model-config", model_config),
    reading("/v2/models/{model}/versions/{version:int}/config", "model-config", model_config),
)

KSERVE_ENDPOINTS = (reading("/v2/", "metadata", server_metadata),)
"""As the Open Inference Protocol spells it. On a tritonserver this path is 404."""
