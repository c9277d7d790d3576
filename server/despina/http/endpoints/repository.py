"""Model control over HTTP: what the repositories hold, load, unload (protocol §1.9-1.11)."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.errors import Internal, InvalidArgument, Unsupported
from despina.http.endpoint import Endpoint
from despina.http.json_body import JSON, json_response, read_json_body
from despina.http.paths import unquoted
from despina.models.override import FILE_PREFIX
from despina.protocol.fields import cut_at_nul
from despina.protocol.json import as_string, encode_string, loads, loads_first_wins, member

if TYPE_CHECKING:
    from despina.server import Server

_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))

_MOST_COUNTED = 32
"""Names in the body of a load request. Each is counted in all of it; the slow parser looks at it once."""


async def index(request: Request, server: Server) -> Response:
    """Every model of the repositories, with the state of its versions. A body of {"ready": true} leaves out what is not
    ready."""
    body = await read_json_body(request, server)
    document = loads_first_wins(body) if body else {}
    ready = document.get("ready", False) if isinstance(document, dict) else False
    if not isinstance(ready, bool):
        raise InvalidArgument("Invalid value for 'ready': expected a boolean")
    return json_response(await server.models.index(ready))


async def load(request: Request, server: Server) -> Response:
    """Load or reload a model and wait until it is ready. Parameters may carry a configuration and files."""
    _refuse_repository_name(request)
    parameters = read_load_parameters(await read_json_body(request, server))
    await server.models.load(await _model(request, server), parameters)
    return Response(media_type=JSON)


async def unload(request: Request, server: Server) -> Response:
    """Stop serving a model. The parameter unload_dependents takes the steps of an ensemble along."""
    _refuse_repository_name(request)
    unload_dependents = read_unload_dependents(await read_json_body(request, server))
    await server.models.unload(await _model(request, server), unload_dependents)
    return Response(media_type=JSON)


def _refuse_repository_name(request: Request) -> None:
    if "repo" in request.path_params:
        raise Unsupported("'repository_name' specification is not supported")


async def _model(request: Request, server: Server) -> str:
    """The model in the path: a name as it was received, unless a repository has the one meant."""
    name: str = request.path_params["model"]
    meant = unquoted(name)
    return meant if meant != name and await server.models.in_repository(meant) else name


def read_load_parameters(body: bytes) -> dict[str, str | bytes]:
    """The body of a load request: `config` as text, the content of `file:<path>` as bytes. Raises Internal."""
    document = loads(body) if body else None
    parameters = document.get("parameters") if isinstance(document, dict) else None
    names = ("parameters", *(parameters if isinstance(parameters, dict) else ()))
    if len(names) > _MOST_COUNTED or _repeats(body, names):
        document = loads_first_wins(body)
    if not isinstance(document, dict) or "parameters" not in document:
        return {}
    parameters = document["parameters"]
    if not isinstance(parameters, dict):
        raise Internal("attempt to get members for non-object")
    named = map(cut_at_nul, parameters)
    return {name: _load_parameter(name, as_string(member(parameters, name))) for name in named}


def _repeats(body: bytes, keys: Iterable[str]) -> bool:
    """Whether one of `keys` may be there twice, of which the fast parser keeps the last one. Told without the slow
    parser, for a body may be as large as a model."""
    return any(body.count(encode_string(f'"{key}"')) > 1 for key in keys)


def _load_parameter(name: str, value: str) -> str | bytes:
    if name == "config":
        return cut_at_nul(value)
    if name.startswith(FILE_PREFIX):
        return decode_base64(value)
    raise Internal("unexpected error on creating Triton parameter")


def decode_base64(text: str) -> bytes:
    """Base64, skipping whatever is not of its alphabet and a last character that holds no whole byte."""
    digits = encode_string(text).translate(None, _NOT_BASE64)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return base64.b64decode(digits + b"=" * (-len(digits) % 4))


def read_unload_dependents(body: bytes) -> bool:
    """Whether an unload request asks for the steps of an ensemble too. A value that is no boolean counts as false: the
    outcome of the unload overwrites that error on tritonserver. Raises Internal for a body that is no JSON."""
    document = loads(body) if body else None
    if _repeats(body, ("parameters", "unload_dependents")):
        document = loads_first_wins(body)
    parameters = document.get("parameters") if isinstance(document, dict) else None
    return isinstance(parameters, dict) and parameters.get("unload_dependents") is True


ENDPOINTS: tuple[Endpoint, ...] = tuple(
    Endpoint(("POST",), path, "model-repository", handle)
    for prefix in ("/v2/repository", "/v2/repository/{repo}")
    for path, handle in (
        (f"{prefix}/index", index),
        (f"{prefix}/models/{{model}}/load", load),
        (f"{prefix}/models/{{model}}/unload", unload),
    )
)
