"""What a client is told of an exception."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal, Unavailable

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead

_log = logging.getLogger(__name__)


def server_is_ending() -> Unavailable:
    """Why what is not there yet is not waited for."""
    return Unavailable("GRPC server is shutting down and has stopped accepting new requests.")


def as_client_error(error: Exception, head: CallHead) -> DespinaError:
    """The error itself if it is meant for clients; what is not is our mistake, and logged."""
    if not isinstance(error, DespinaError):
        _log.error("unexpected failure of a call of '%s'", head.path.decode("latin-1"), exc_info=error)
        error = Internal(f"unexpected failure: {error}")
    _log.debug("Call failed: %s", error.message)
    return error
