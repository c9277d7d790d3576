"""One row of the HTTP surface: which method and path, which restricted-API category, which function answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from despina.server import Server


class Place(Protocol):
    """What the path of a request names."""

    @property
    def path_params(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`methods` are the allowed HTTP methods (any other is answered with 405), `path` is a Starlette path template in
    which `{version:int}` matches digits, `category` the API category of `--http-restricted-api` or None. `read` is
    there when the answer takes nothing of the request but its path, and no time."""

    methods: tuple[str, ...]
    path: str
    category: str | None
    handle: Callable[[Request, Server], Awaitable[Response]]
    read: Callable[[Place, Server], Response] | None = None


def reading(path: str, category: str, read: Callable[[Place, Server], Response]) -> Endpoint:
    """An endpoint of GET that only reads."""

    @wraps(read)
    async def handle(request: Request, server: Server) -> Response:
        return read(request, server)

    return Endpoint(("GET",), path, category, handle, read)
