"""Registering memory that clients share with the server (protocol §1.12, §1.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.errors import InvalidArgument, Unsupported
from despina.http.endpoint import Endpoint
from despina.http.endpoints.repository import decode_base64
from despina.http.json_body import JSON, json_response, read_json_body
from despina.http.paths import unquoted
from despina.protocol.json import Json, as_string, as_unsigned, loads_first_wins, member
from despina.shared_memory.regions import Kind

if TYPE_CHECKING:
    from despina.server import Server


async def system_status(request: Request, server: Server) -> Response:
    """The system shared memory regions that are registered, or one of them."""
    return _status("system", request, server)


async def cuda_status(request: Request, server: Server) -> Response:
    """The CUDA shared memory regions that are registered, or one of them."""
    return _status("CUDA", request, server)


def _status(kind: Kind, request: Request, server: Server) -> Response:
    return json_response(server.shared_memory.status(kind, _region(request)))


def _region(request: Request) -> str | None:
    region: str | None = request.path_params.get("region")
    return None if region is None else unquoted(region)


async def register_system(request: Request, server: Server) -> Response:
    """Register a system shared memory region: `byte_size` bytes from `offset` (0) of the object that `key` names.
    Tensors of later requests may lie in it."""
    _check_allowed(server)
    name = _region(request)
    if name is None:
        raise InvalidArgument("'region name' is necessary to register system shared memory region")
    document = loads_first_wins(await read_json_body(request, server))
    key = as_string(_required(document, "key"))
    offset = as_unsigned(document.get("offset", 0))
    server.shared_memory.register_system(name, key, offset, as_unsigned(_required(document, "byte_size")))
    return Response(media_type=JSON)


async def register_cuda(request: Request, server: Server) -> Response:
    """Register a CUDA shared memory region: `byte_size` bytes on the GPU `device_id`, by the base64 of an IPC handle in
    `raw_handle`. Tensors of later requests may lie in it."""
    _check_allowed(server)
    name = _region(request)
    if name is None:
        raise InvalidArgument("'region name' is necessary to register cuda shared memory region")
    document = loads_first_wins(await read_json_body(request, server))
    handle = as_string(member(_required(document, "raw_handle"), "b64"))
    byte_size = as_unsigned(member(document, "byte_size"))
    device_id = as_unsigned(member(document, "device_id"))
    server.shared_memory.register_cuda(name, decode_base64(handle), device_id, byte_size)
    return Response(media_type=JSON)


def _required(document: Json, field: str) -> Json:
    if not isinstance(document, dict) or field not in document:
        raise InvalidArgument(f"Shared memory register request has no '{field}' field")
    return document[field]


async def unregister_system(request: Request, server: Server) -> Response:
    """Forget a system shared memory region, or all of them."""
    return _unregister("system", request, server)


async def unregister_cuda(request: Request, server: Server) -> Response:
    """Forget a CUDA shared memory region, or all of them."""
    return _unregister("CUDA", request, server)


def _unregister(kind: Kind, request: Request, server: Server) -> Response:
    _check_allowed(server)
    server.shared_memory.unregister(kind, _region(request))
    return Response(media_type=JSON)


def _check_allowed(server: Server) -> None:
    if not server.settings.allow_client_shm:
        raise Unsupported(
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
        )


_CATEGORY = "shared-memory"

ENDPOINTS: tuple[Endpoint, ...] = tuple(
    Endpoint((method,), f"/v2/{family}{region}/{action}", _CATEGORY, handle)
    for region in ("", "/region/{region}")
    for family, method, action, handle in (
        ("systemsharedmemory", "GET", "status", system_status),
        ("systemsharedmemory", "POST", "register", register_system),
        ("systemsharedmemory", "POST", "unregister", unregister_system),
        ("cudasharedmemory", "GET", "status", cuda_status),
        ("cudasharedmemory", "POST", "register", register_cuda),
        ("cudasharedmemory", "POST", "unregister", unregister_cuda),
    )
)
