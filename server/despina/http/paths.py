"""What the path of a request names."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from starlette.types import Scope

from despina.http.endpoint import Place
from despina.protocol.model_version import read_version

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server


def received_path(scope: Scope) -> str:
    """The path as it was received, which is how the real server matches it (protocol §0.6)."""
    raw_path: bytes = scope.get("raw_path") or b""  # servers need not tell
    return raw_path.decode("latin-1") if b"%" in raw_path else str(scope["path"])


def unquoted(name: str) -> str:
    """The name that Triton's clients quoted to put it into a path, which the real server takes for another one. What
    they would not quote like this stays as it is."""
    meant = unquote(name)
    return meant if quote(meant, safe="") == name else name


def path_version(place: Place) -> int | None:
    """The version in the path, None for "latest". Raises InvalidArgument when it does not fit 64 bits."""
    text: str | None = place.path_params.get("version")
    return None if text is None else read_version(text)


def path_name(place: Place, server: Server) -> str | None:
    """The model in the path, None where there is none: a name as it was received, unless a model has the one meant."""
    name: str | None = place.path_params.get("model")
    if name is None or "%" not in name or not server.models.versions(unquoted(name)):
        return name
    return unquoted(name)


def path_model(place: Place, server: Server) -> Model:
    """The model version the path names. Raises NotFound or Unavailable as protocol §0.7 says."""
    name = path_name(place, server)
    assert name is not None
    return server.models.get(name, path_version(place))
