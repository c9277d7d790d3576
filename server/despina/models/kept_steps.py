"""Steps of ensembles that must not be unloaded for the moment."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from despina.models.candidate import Candidate


class KeptSteps:
    """The steps of the ensembles that are being brought up."""

    def __init__(self) -> None:
        self._by_ensemble: dict[str, tuple[tuple[str, ...], asyncio.Event]] = {}

    @contextmanager
    def of(self, ensemble: Candidate) -> Iterator[None]:
        """Keeps those of one ensemble while it is entered, once at a time; other models have none."""
        done = asyncio.Event()
        self._by_ensemble[ensemble.name] = ensemble.steps, done
        try:
            yield
        finally:
            del self._by_ensemble[ensemble.name]
            done.set()

    async def until_free(self, name: str) -> None:
        """Return when no ensemble that runs `name` is being brought up."""
        while waiting := [done for steps, done in self._by_ensemble.values() if name in steps]:
            await waiting[0].wait()
