"""The OpenAPI documents of one script: its author's own files, else made from the script's schemas."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from despina.deploy.score.script import Script
from despina.deploy.score.settings import ScoreSettings

FILES = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",), "3.1": ("swagger3.1.json",)}
ALIASES = {"2.0": "2", "3.0": "3"}
DEFAULT = "2"

Document = dict[str, Any]


class NoSuchSwagger(Exception):
    """A version that does not exist or that this script's types cannot be written in."""


class Swagger:
    """Documents by version, all made at start."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents

    def get(self, version: str | None) -> Document:
        """Raises NoSuchSwagger: there is no document of that version; the message names what there is."""
        wanted = version or DEFAULT
        document = self._documents.get(ALIASES.get(wanted, wanted))
        if document is not None:
            return document
        have = f"[{', '.join(sorted(self._documents))}]."
        if ALIASES.get(wanted, wanted) in FILES:
            message = f"Swagger version [{wanted}] is not supported for the scoring script."
            raise NoSuchSwagger(f"{message} Supported swagger versions: {have}")
        raise NoSuchSwagger(f"Swagger version [{wanted}] is not valid. Supported versions: {have}")


def make_swagger(settings: ScoreSettings, script: Script) -> Swagger:
    """Raises ValueError: a document of the author's own is not JSON."""
    given = {version: _read(settings.app_root, names) for version, names in FILES.items()}
    made = {version: _generate(settings, script, version) for version in _possible(script)}
    return Swagger(made | {version: document for version, document in given.items() if document is not None})


def _read(folder: Path, names: tuple[str, ...]) -> Document | None:
    for name in names:
        if (folder / name).is_file():
            document: Document = json.loads((folder / name).read_bytes())
            return document
    return None


def _possible(script: Script) -> list[str]:
    if not script.decorated:
        return list(FILES)
    # inference-schema says "2.0" for lists of one type and so on.
    supported: list[str] = _schemas().get_supported_versions(script.run)
    return sorted({ALIASES.get(version, version) for version in supported} & FILES.keys())


def _schemas() -> Any:
    # The script has imported it, or it would not be decorated.
    return sys.modules["inference_schema.schema_util"]


def _generate(settings: ScoreSettings, script: Script, version: str) -> Document:
    empty = {"type": "object", "example": {}}
    given = _schemas().get_input_schema(script.run) if script.decorated else empty
    answer = _schemas().get_output_schema(script.run) if script.decorated else empty
    schemas = {
        "ServiceInput": given,
        "ServiceOutput": answer,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    return _version_2(settings, schemas) if version == "2" else _version_3(settings, schemas, version)


def _version_2(settings: ScoreSettings, schemas: Document) -> Document:
    def answer(schema: Document) -> Document:
        return {"schema": schema}

    def body(schema: Document) -> Document:
        return {"parameters": [{"name": "serviceInputPayload", "in": "body", "schema": schema}]}

    return {
        "swagger": "2.0",
        "info": _info(settings),
        "schemes": ["https", "http"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "paths": _paths(settings, "#/definitions/", answer, body, {"type": "string"}),
        "definitions": schemas,
    }


def _version_3(settings: ScoreSettings, schemas: Document, version: str) -> Document:
    def answer(schema: Document) -> Document:
        return {"content": {"application/json": {"schema": schema}}}

    def body(schema: Document) -> Document:
        return {"requestBody": {"required": True, **answer(schema)}}

    return {
        "openapi": "3.1.0" if version == "3.1" else "3.0.3",
        "info": _info(settings),
        "servers": [{"url": "/"}],
        "paths": _paths(settings, "#/components/schemas/", answer, body, {"schema": {"type": "string"}}),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _info(settings: ScoreSettings) -> Document:
    name = settings.service_name
    return {"title": name, "description": f"What the service {name} answers.", "version": settings.service_version}


def _paths(
    settings: ScoreSettings,
    root: str,
    answer: Callable[[Document], Document],
    body: Callable[[Document], Document],
    version_type: Document,
) -> Document:
    prefix = f"/{settings.path_prefix}" if settings.path_prefix else ""

    def answers(schema: Document, meaning: str) -> Document:
        error = {"description": "What went wrong.", **answer({"$ref": f"{root}ErrorResponse"})}
        return {"200": {"description": meaning, **answer(schema)}, "default": error}

    score = {
        "operationId": "RunMLService",
        "security": [{"Bearer": []}],
        **body({"$ref": f"{root}ServiceInput"}),
        "responses": answers({"$ref": f"{root}ServiceOutput"}, "What run() returned."),
    }
    health = {
        "operationId": "ServiceHealthCheck",
        "responses": answers({"type": "string"}, "The text Healthy."),
    }
    document = {
        "operationId": "GetSwaggerSpec",
        "parameters": [{"name": "version", "in": "query", "required": False, **version_type}],
        "responses": answers({"type": "object"}, "This document."),
    }
    return {
        f"{prefix}/": {"get": health},
        f"{prefix}/score": {"post": score},
        f"{prefix}/swagger.json": {"get": document},
    }
