"""API keys: who may use the server at all, in front of everything that follows."""

from collections.abc import Iterable, Mapping
from hmac import compare_digest

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from despina.http.json_body import json_response

OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})
"""What probes and scrapers ask for, without a key."""

KEY_REQUIRED = "a valid API key is required: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"


class ApiKeys:
    """The keys that open the server. Without any, everything is open; with nothing but an empty one, nothing is."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        given = tuple(key.encode() for key in keys)
        self._closed = bool(given)
        self._keys = tuple(key for key in given if key)

    def admit(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the headers (names in lower case) carry a key; takes the same time for every wrong one."""
        if not self._closed:
            return True
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        offered = (token.strip() if scheme.lower() == b"bearer" else b"", headers.get(b"x-api-key", b""))
        admitted = False
        for key in self._keys:
            for candidate in offered:
                admitted |= compare_digest(candidate, key)
        return admitted


class KeyGate:
    """An application behind a gate: 401 for requests without a key."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._keys.admit(dict(Headers(scope=scope).raw)):
            await self._app(scope, receive, send)
            return
        refusal = json_response({"error": KEY_REQUIRED}, 401, {"www-authenticate": "Bearer"})
        await refusal(scope, receive, send)
