"""One round of changes: a start, a poll, or one load request, with everything that it pulls along.

A model is touched once per round, however many ensembles need it.
"""

import asyncio
from collections.abc import Awaitable, Callable

Change = Callable[[str, "Round"], Awaitable[None]]


class Round:
    """`change` is what happens to a model; its outcome, good or bad, is shared by everybody who asks for that model.
    `replaced` are the models that were not left as they were, as far as that could be done."""

    def __init__(self, change: Change) -> None:
        self.replaced: set[str] = set()
        self._change = change
        self._tasks: dict[str, asyncio.Task[Exception | None]] = {}

    async def outcome(self, name: str, change: Change | None = None) -> Exception | None:
        """Wait until `name` is done; the reason of its failure, or None. `change` is for a model that is not touched
        yet and needs another one than the rest of the round."""
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(self._run(name, change or self._change))
        return await task

    async def outcomes(self, names: list[str]) -> dict[str, Exception | None]:
        """All of them side by side."""
        return dict(zip(names, await asyncio.gather(*map(self.outcome, names)), strict=True))

    async def _run(self, name: str, change: Change) -> Exception | None:
        try:
            await change(name, self)
        except Exception as error:
            # Without its traceback, which would keep what the failed load had opened.
            return error.with_traceback(None)
        return None

    @property
    def names(self) -> list[str]:
        """Every model this round has touched or is touching."""
        return list(self._tasks)
