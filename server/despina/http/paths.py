"""What the path of a request names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from despina.errors import InvalidArgument

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.server import Server


def path_version(request: Request) -> int | None:
    """The version in the path, None for "latest". Raises InvalidArgument when it does not fit 64 bits."""
    text: str | None = request.path_params.get("version")
    if text is None:
        return None
    if len(text) > 19 or int(text) >= 1 << 63:
        raise InvalidArgument(
            f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
            "integral value > 0"
        )
    return int(text)


def path_model(request: Request, server: Server) -> Model:
    """The model version the path names. Raises NotFound or Unavailable as protocol §0.7 says."""
    return server.models.get(request.path_params["model"], path_version(request))
