"""Following the repositories: what appeared, changed or vanished since the last look (config §4.2, 4.3)."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Generic

from despina.models.changes import Changes
from despina.models.settle import Settling
from despina.models.source import Source
from despina.models.states import M, ModelState
from despina.repository.stamp import Stamp

GONE = Stamp({})

_log = logging.getLogger(__name__)


class Polling(Generic[M]):
    """`now` is the wall clock in seconds, against which the age of a change on disk is told."""

    def __init__(
        self, source: Source, states: Mapping[str, ModelState[M]], changes: Changes[M], now: Callable[[], float]
    ) -> None:
        self._source = source
        self._states = states
        self._changes = changes
        self._now = now
        self._settling = Settling()

    async def once(self) -> None:
        """Follow the changes that have settled. A model that did not load is tried again every time."""
        names = await asyncio.to_thread(self._source.names)
        stamps = await asyncio.to_thread(self._source.stamps)
        changed = [name for name, stamp in stamps.items() if self._is_changed(name, stamp)]
        await self._changes.load([name for name in changed if self._is_settled(name, stamps[name])])
        # Of a name that is found twice nobody can say which one to serve.
        gone = [name for name, state in self._states.items() if state.wanted and not names.get(name, False)]
        for name in gone:
            if self._is_settled(name, GONE):
                if name in names:
                    _log.error("failed to poll model '%s': not unique across all model repositories", name)
                await self._changes.unload(name, unload_dependents=False)
                await asyncio.sleep(0)  # An unload need not wait for anything, and many of them would be one long turn.

    def _is_changed(self, name: str, stamp: Stamp) -> bool:
        state = self._states.get(name)
        changed = state is None or state.serving is None or state.serving.stamp != stamp
        if not changed:
            self._settling.forget(name)
        return changed

    def _is_settled(self, name: str, stamp: Stamp) -> bool:
        newest = stamp.newest / 1e9 if stamp.entries else None
        return self._settling.is_settled(name, stamp, newest, self._now())
