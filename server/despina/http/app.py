"""The application: every endpoint of the protocol as a Starlette app, and how errors become responses.

Order of checks per request, as the real server has it: unknown path (404), restricted API (403), method (405), then the
endpoint's own. Works under any ASGI server; the infer lane only takes a short cut past it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from despina.errors import DespinaError, Forbidden, Internal, MethodNotAllowed, NotFound, RequestTimeout, Unavailable
from despina.http.endpoint import Endpoint
from despina.http.json_body import json_response
from despina.http.paths import ReceivedPath
from despina.http.reply_head import whole_seconds

if TYPE_CHECKING:
    from despina.server import Server

_log = logging.getLogger(__name__)


class VersionConvertor(Convertor[str]):
    """A version in a path: digits, kept as text because the protocol has an opinion on numbers that are too large."""

    regex = "[0-9]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def error_response(error: DespinaError) -> Response:
    """`{"error": message}` with the error's status."""
    headers = {}
    if isinstance(error, Unavailable) and error.retry_after is not None:
        headers["retry-after"] = str(whole_seconds(error.retry_after))
    if isinstance(error, RequestTimeout):
        headers["connection"] = "close"
    return json_response({"error": error.message}, error.status, headers)


class _Path:
    """Everything that answers under one path: an ASGI app, so that Starlette leaves the methods to us."""

    def __init__(self, server: Server, endpoints: Sequence[Endpoint]) -> None:
        self._server = server
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        _log.debug("HTTP request: %s %s", request.method, request.url.path)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except DespinaError as error:
            response = error_response(error)
        except Exception:
            _log.exception("unexpected failure of %s %s", request.method, request.url.path)
            response = error_response(Internal("unexpected failure, see the server's log"))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        check_restriction(request, self._endpoints[0].category, self._server.settings.http_restricted_api)
        for endpoint in self._endpoints:
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


async def _not_found(request: Request, error: Exception) -> Response:
    return error_response(NotFound("Not Found"))


def make_app(server: Server, endpoints: Iterable[Endpoint]) -> Starlette:
    """The application that serves `endpoints`; the first match wins."""
    register_url_convertor("version", VersionConvertor())
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    routes: list[BaseRoute] = [Route(path, _Path(server, group)) for path, group in by_path.items()]
    app = Starlette(routes=routes, middleware=[Middleware(ReceivedPath)], exception_handlers={404: _not_found})
    app.router.redirect_slashes = False
    return app
