"""The application: every endpoint of the protocol as an ASGI app, and how errors become responses.

Order of checks per request, as the real server has it: unknown path (404), restricted API (403), method (405), then the
endpoint's own. Works under any ASGI server; the infer lane only takes a short cut past it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from despina.errors import DespinaError, Forbidden, Internal, MethodNotAllowed, NotFound, RequestTimeout, Unavailable
from despina.http.endpoint import Endpoint
from despina.http.json_body import json_response
from despina.http.paths import received_path
from despina.http.reply_head import whole_seconds
from despina.http.routes import Routes

if TYPE_CHECKING:
    from despina.server import Server

_log = logging.getLogger(__name__)


def error_response(error: DespinaError) -> Response:
    """`{"error": message}` with the error's status."""
    headers = {}
    if isinstance(error, Unavailable) and error.retry_after is not None:
        headers["retry-after"] = str(whole_seconds(error.retry_after))
    if isinstance(error, RequestTimeout):
        headers["connection"] = "close"
    return json_response({"error": error.message}, error.status, headers)


class Application:
    """Every endpoint. The methods are ours to check, and so is what follows."""

    def __init__(self, server: Server, routes: Routes) -> None:
        self._server = server
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # How an application tells any ASGI server that it has no use for a lifespan.
            raise NotImplementedError(f"no {scope['type']} here")
        scope["path"] = received_path(scope)
        found = self._routes.find(scope["path"])
        if found is None:
            await error_response(NotFound("Not Found"))(scope, receive, send)
            return
        scope["path_params"] = found.path_params
        request = Request(scope, receive, send)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("HTTP request: %s %s", request.method, request.url.path)
        try:
            response = await self._answer(request, found.endpoints)
        except ClientDisconnect:
            return
        except DespinaError as error:
            response = error_response(error)
        except Exception:
            _log.exception("unexpected failure of %s %s", request.method, request.url.path)
            response = error_response(Internal("unexpected failure, see the server's log"))
        await response(scope, receive, send)

    async def _answer(self, request: Request, endpoints: Sequence[Endpoint]) -> Response:
        check_restriction(request, endpoints[0].category, self._server.settings.http_restricted_api)
        for endpoint in endpoints:
            if request.method in endpoint.methods:
                return await endpoint.handle(request, self._server)
        raise MethodNotAllowed("Method Not Allowed")


def check_restriction(request: Request, category: str | None, restrictions: Mapping[str, tuple[str, str]]) -> None:
    """Raises Forbidden when the API is restricted and the request lacks the header that opens it."""
    restriction = restrictions.get(category) if category else None
    if restriction is None:
        return
    header, value = restriction
    if request.headers.get(header) != value:
        raise Forbidden(f"This API is restricted, expecting header '{header}'")
