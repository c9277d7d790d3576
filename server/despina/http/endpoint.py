"""One row of the HTTP surface: which method and path, which restricted-API category, which function answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from despina.server import Server


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`methods` are the allowed HTTP methods (any other is answered with 405), `path` is a Starlette path template in
    which `{version:version}` matches digits, `category` the API category of `--http-restricted-api` or None."""

    methods: tuple[str, ...]
    path: str
    category: str | None
    handle: Callable[[Request, Server], Awaitable[Response]]
