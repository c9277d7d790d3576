"""Requests that only read, as probes and clients send them again and again: known by their heads, answered at once.

Everything about a request but its path is the application's business: a key, a restricted API, a body, another version
of HTTP, a connection that closes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools
from starlette.responses import Response

from despina.errors import DespinaError
from despina.http.app import error_response
from despina.http.auth import ApiKeys
from despina.http.endpoint import Place
from despina.http.known_heads import READ, KnownHeads
from despina.http.request_head import HeadCollector
from despina.http.routes import Routes

if TYPE_CHECKING:
    from despina.server import Server

_NEEDS_MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"proxy-connection"})


class ReadRequests:
    """What the lane answers in place of the application."""

    def __init__(self, server: Server, routes: Routes) -> None:
        self._server = server
        self._routes = routes
        self._keys = ApiKeys(server.settings.api_key)
        self._known = KnownHeads(self._parse)

    def answer(self, request: bytes) -> bytes | None:
        """The whole answer to a request that ends with its head, None when the application has to give it."""
        known = self._known.find(request)
        if known is None:
            return None
        read, place = known
        try:
            response = read(place, self._server)
        except DespinaError as error:
            response = error_response(error)
        except Exception:
            return None  # the application will fail, too, and knows what to say
        return response_bytes(response)

    def _parse(self, request: bytes) -> tuple[Callable[[Place, Server], Response], Place] | None:
        path = plain_path(request, self._keys)
        found = None if path is None else self._routes.find(path)
        if found is None or found.endpoints[0].category in self._server.settings.http_restricted_api:
            return None
        reads = (endpoint.read for endpoint in found.endpoints if endpoint.read is not None)
        read = next(reads, None)
        return None if read is None else (read, found)


def plain_path(request: bytes, keys: ApiKeys) -> str | None:
    """The path of a GET that carries one of the `keys` and asks for nothing besides; None for any other request."""
    if not request.startswith(b"GET /"):
        return None
    collector = HeadCollector(READ)
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(request)
        path = httptools.parse_url(collector.url).path
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if path != collector.url or b"%" in path or not path.isascii():
        return None
    headers = collector.headers
    if parser.get_http_version() != "1.1" or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    if collector.repeated or not _NEEDS_MORE.isdisjoint(headers) or not keys.admit(headers):
        return None
    return path.decode("ascii")


def response_bytes(response: Response) -> bytes:
    """A response as it goes over the wire."""
    lines = [b"%b: %b\r\n" % header for header in response.raw_headers]
    return b"".join((_status_line(response.status_code), *lines, b"\r\n", response.body))


@lru_cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
