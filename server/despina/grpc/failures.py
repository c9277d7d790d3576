"""What a client is told of an exception."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead

_log = logging.getLogger(__name__)


def as_client_error(error: Exception, head: CallHead) -> DespinaError:
    """The error itself if it is meant for clients; what is not is our mistake, and logged."""
    if not isinstance(error, DespinaError):
        _log.error("unexpected failure of a call of '%s'", head.path.decode("latin-1"), exc_info=error)
        error = Internal(f"unexpected failure: {error}")
    _log.debug("Call failed: %s", error.message)
    return error
