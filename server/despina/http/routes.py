"""Which endpoints answer under a path: tried once in the order of the list, then known by the path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.routing import compile_path

from despina.http.endpoint import Endpoint
from despina.remember import remember

MAX_PATH = 512
"""Characters. A longer path is looked for every time."""


@dataclass(frozen=True, slots=True)
class Found:
    """What answers under a path, one endpoint or several that differ in their methods, and what the path names: a
    version too is text, because the protocol has an opinion on numbers that are too large."""

    endpoints: tuple[Endpoint, ...]
    path_params: Mapping[str, str]


class Routes:
    """Endpoints by path; the first path of the list that matches wins."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        by_path: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            by_path.setdefault(endpoint.path, []).append(endpoint)
        self._routes = [(compile_path(path)[0], tuple(group)) for path, group in by_path.items()]
        self._known: dict[str, Found | None] = {}

    def find(self, path: str) -> Found | None:
        """What answers under `path`, None for nothing."""
        try:
            return self._known[path]
        except KeyError:
            found = self._match(path)
        return remember(self._known, path, found) if len(path) <= MAX_PATH else found

    def _match(self, path: str) -> Found | None:
        for pattern, endpoints in self._routes:
            match = pattern.match(path)
            if match is not None:
                return Found(endpoints, match.groupdict())
        return None
