"""The server's description of itself as an OpenAPI 3.1 document.

Paths come from the endpoints, their texts from the docstrings of the functions behind them. Every ready model has a
path of its own besides, with its tensors in the schema: a path that is spelled out goes before a template.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from despina.http.endpoint import Endpoint
from despina.http.tensor_schema import Schema, request_example, request_schema, response_schema

if TYPE_CHECKING:
    from despina.models.model import Model

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_JSON = "application/json"
_BINARY = "application/octet-stream"
_HEADER_LENGTH: Schema = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of the JSON when binary tensor data follows it.",
    "schema": {"type": "integer", "minimum": 0},
}
_SCHEMAS: Schema = {
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "Tensor": {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
    },
    "OutputParameters": {
        "type": "object",
        "properties": {
            "binary_data": {"type": "boolean"},
            "classification": {"type": "integer", "minimum": 0},
            "shared_memory_region": {"type": "string"},
            "shared_memory_offset": {"type": "integer", "minimum": 0},
            "shared_memory_byte_size": {"type": "integer", "minimum": 0},
        },
    },
    "InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
    },
}


def document(endpoints: Iterable[Endpoint], models: Iterable[Model], version: str) -> dict[str, Any]:
    """The document for a server of this `version` with these endpoints and ready models."""
    paths: dict[str, dict[str, Any]] = {}
    for model in sorted(models, key=lambda model: (model.name, model.version)):
        # Of several versions the newest comes last, and stays.
        paths[f"/v2/models/{quote(model.name, safe='')}/infer"] = {"post": _model_operation(model)}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        operations = paths.setdefault(path, {})
        for method in endpoint.methods:
            operations.setdefault(method.lower(), _operation(endpoint, method, path))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Despina", "version": version, "description": "The v2 inference protocol."},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def _operation(endpoint: Endpoint, method: str, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _identifier(method, path),
        "tags": [endpoint.category or "server"],
        **_texts(endpoint),
        "responses": _responses({"description": "OK"}),
    }
    parameters = [_path_parameter(name) for name in _PARAMETER.findall(endpoint.path)]
    if method == "POST":
        infers = path.endswith("/infer")
        schema = {"$ref": "#/components/schemas/InferRequest"} if infers else {"type": "object"}
        operation["requestBody"] = {"required": infers, "content": {_JSON: {"schema": schema}}}
        if infers:
            operation["requestBody"]["content"][_BINARY] = {}
            parameters.append(_HEADER_LENGTH)
    return operation | {"parameters": parameters} if parameters else operation


def _identifier(method: str, path: str) -> str:
    # "/v2" and "/v2/" are two paths.
    return "_".join([method.lower(), *re.findall(r"\w+", path)]) + "_" * path.endswith("/")


def _texts(endpoint: Endpoint) -> dict[str, str]:
    """The first sentence of the docstring, which every one has, and all of it if there is more."""
    text = " ".join((inspect.getdoc(endpoint.handle) or "").split())
    summary = re.split(r"(?<=[.:;])\s", text, maxsplit=1)[0].rstrip(".:;")
    return {"summary": summary} if text.rstrip(".") == summary else {"summary": summary, "description": text}


def _path_parameter(name: str) -> Schema:
    schema = {"type": "string", "pattern": "^[0-9]+$"} if name == "version" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(success: Schema) -> Schema:
    error = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {"200": success, "default": {"description": "An error", "content": {_JSON: error}}}


def _model_operation(model: Model) -> dict[str, Any]:
    signature = model.signature
    body: dict[str, Any] = {"schema": request_schema(signature)}
    example = request_example(signature, model.config.HasField("sequence_batching"))
    if example is not None:
        body["example"] = example
    answer = {"schema": response_schema(model.name, signature)}
    return {
        "operationId": f"infer_{quote(model.name, safe='').replace('%', '_')}",
        "tags": ["models"],
        "summary": f"Infer with {model.name}",
        "parameters": [_HEADER_LENGTH],
        "requestBody": {"required": True, "content": {_JSON: body, _BINARY: {}}},
        "responses": _responses({"description": "The outputs", "content": {_JSON: answer, _BINARY: {}}}),
    }
