"""How many connections there can be: each is an open file of the process.

For a connection beyond that the loop has no descriptor. It closes it and says nothing, so that the system does not go
on to report it.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

_log = logging.getLogger(__name__)

LEFT = 8
"""With fewer descriptors left the next connections may be refused."""

PAUSE_S = 60.0
"""From one warning to the next."""


def allow_many() -> None:
    """Raise the limit of open files as far as the system lets this process. What it is at first, often 1,024, is for
    programs that use `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # where "no limit" is more than the system takes
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class OpenFiles:
    """Warns when there are about to be too many. `now` is in seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._silent_until = 0.0

    def connected(self, transport: asyncio.BaseTransport) -> None:
        """There is one more connection. The system gave it the lowest number that was free."""
        sock = transport.get_extra_info("socket")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if sock is None or sock.fileno() < limit - LEFT or self._now() < self._silent_until:
            return
        self._silent_until = self._now() + PAUSE_S
        _log.warning(
            "the limit of %d open files is reached: connections beyond it are closed as soon as they come. Raise it "
            "(`ulimit -n`), or have fewer connections",
            limit,
        )
