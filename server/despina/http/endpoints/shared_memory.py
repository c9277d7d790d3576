"""Registering memory that clients share with the server (protocol §1.12, §1.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from despina.errors import InvalidArgument, Unsupported
from despina.http.endpoint import Endpoint, Place, reading
from despina.http.endpoints.repository import decode_base64
from despina.http.json_body import JSON, json_response, read_json_body
from despina.protocol.fields import cut_at_nul
from despina.protocol.json import Json, as_string, as_unsigned, loads_first_wins, member
from despina.shared_memory.regions import Kind

if TYPE_CHECKING:
    from despina.server import Server


def system_status(place: Place, server: Server) -> Response:
    """The system shared memory regions that are registered, or one of them."""
    return _status("system", place, server)


def cuda_status(place: Place, server: Server) -> Response:
    """The CUDA shared memory regions that are registered, or one of them."""
    return _status("CUDA", place, server)


def _status(kind: Kind, place: Place, server: Server) -> Response:
    return json_response(server.shared_memory.status(kind, _region(place)))


def _region(place: Place) -> str | None:
    """The region in the path, by the name that was received: that is what the real server calls it. Requests for
    inference may name it as it was meant, see `Regions.find`."""
    region: str | None = place.path_params.get("region")
    return region


async def register_system(request: Request, server: Server) -> Response:
    """Register a system shared memory region: `byte_size` bytes from `offset` (0) of the object that `key` names.
    Tensors of later requests may lie in it."""
    check_allowed(server)
    name = _region(request)
    if name is None:
        raise InvalidArgument("'region name' is necessary to register system shared memory region")
    document = loads_first_wins(await read_json_body(request, server))
    key = cut_at_nul(as_string(_required(document, "key")))
    offset = as_unsigned(document.get("offset", 0))
    server.shared_memory.register_system(name, key, offset, as_unsigned(_required(document, "byte_size")))
    return Response(media_type=JSON)


async def register_cuda(request: Request, server: Server) -> Response:
    """Register a CUDA shared memory region: `byte_size` bytes on the GPU `device_id`, by the base64 of an IPC handle in
    `raw_handle`. Tensors of later requests may lie in it."""
    check_allowed(server)
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
    check_allowed(server)
    server.shared_memory.unregister(kind, _region(request))
    return Response(media_type=JSON)


def check_allowed(server: Server) -> None:
    """Raises Unsupported where clients must not share memory with the server."""
    if not server.settings.allow_client_shm:
        raise Unsupported(
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
        )


_CATEGORY = "shared-memory"

ENDPOINTS: tuple[Endpoint, ...] = tuple(
    endpoint
    for region in ("", "/region/{region}")
    for family, status, register, unregister in (
        ("/v2/systemsharedmemory", system_status, register_system, unregister_system),
        ("/v2/cudasharedmemory", cuda_status, register_cuda, unregister_cuda),
    )
    for endpoint in (
        reading(f"{family}{region}/status", _CATEGORY, status),
        Endpoint(("POST",), f"{family}{region}/register", _CATEGORY, register),
        Endpoint(("POST",), f"{family}{region}/unregister", _CATEGORY, unregister),
    )
)
