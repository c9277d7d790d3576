"""From one set of serving versions to the next.

New versions are loaded beside the old ones and take over only when all of them are ready and warm; the old ones answer
what they have accepted and are then freed. A failure changes nothing for versions that serve.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic

from despina.memory import MemoryReturn
from despina.models.candidate import Candidate, versions_to_load
from despina.models.dependencies import users_of
from despina.models.failures import LoadFailed, reason_of
from despina.models.loader import LoadedVersion
from despina.models.loading import Load, discard, load_versions
from despina.models.serving import ServingTable
from despina.models.states import UNLOADED, M, ModelState, VersionState
from despina.repository.temporary import TemporaryDirectory

_log = logging.getLogger("despina.models")


class Transitions(Generic[M]):
    """Owns the state map and the serving table. Everything but the loading and closing itself happens on the event
    loop; callers keep two changes of one model apart."""

    def __init__(self, make_model: Callable[[LoadedVersion], M], load: Load, threads: int, retries: int) -> None:
        self.states: dict[str, ModelState[M]] = {}
        self.table: ServingTable[M] = ServingTable(self.states)
        self._make_model = make_model
        self._load = load
        self._retries = retries
        self._executor = ThreadPoolExecutor(max(1, threads), thread_name_prefix="despina-load")
        self._retiring: set[asyncio.Task[None]] = set()
        self._memory = MemoryReturn()

    def state_of(self, name: str) -> ModelState[M]:
        return self.states.setdefault(name, ModelState(name))

    async def bring_up(self, candidate: Candidate) -> None:
        """Serve `candidate` and nothing else under its name. Raises LoadFailed; then what served before still does."""
        state = self.state_of(candidate.name)
        ready = frozenset(entry.version for entry in state.ready())
        versions = versions_to_load(state.serving, candidate, ready)
        state.mark(versions, "LOADING")
        try:
            loaded = await load_versions(candidate, versions, self._load, self._executor, self._retries)
            models = await self._make(loaded)
        except LoadFailed as failure:
            self._memory.ask()
            # One bad version takes the good ones of the same load with it.
            state.mark(versions, "UNAVAILABLE", UNLOADED)
            for version, reason in failure.reasons.items():
                state.mark((version,), "UNAVAILABLE", reason)
            raise
        self._swap(state, candidate, models)

    async def _make(self, loaded: dict[int, LoadedVersion]) -> dict[int, M]:
        models: dict[int, M] = {}
        for version in list(loaded):
            try:
                models[version] = self._make_model(loaded[version])
            except Exception as error:
                reason = reason_of(error)
                break
            del loaded[version]
        else:
            return models
        _log.error("failed to serve version %d: %s", version, reason)
        for model in models.values():
            await asyncio.to_thread(model.close)
        models.clear()
        await asyncio.to_thread(discard, loaded)
        raise LoadFailed({version: reason})

    def _swap(self, state: ModelState[M], candidate: Candidate, models: dict[int, M]) -> None:
        kept = [entry for entry in state.ready() if entry.version in candidate.versions and entry.version not in models]
        leaving = [entry for entry in state.ready() if entry not in kept]
        for version, model in models.items():
            state.versions[version] = VersionState(version, "READY", model=model)
        temporary = state.serving.temporary if state.serving and state.serving is not candidate else None
        state.serving = candidate
        self._retire(state, leaving, temporary)
        _log.info("successfully loaded '%s'", candidate.name)

    def take_down(
        self, name: str, *, keep_files: bool = False, after: asyncio.Task[None] | None = None
    ) -> asyncio.Task[None]:
        """Stop serving a model at once; the task ends when everything it had accepted is answered and it is freed. With
        `keep_files` those that came with a request stay, as the model may come back. `after` is the end of an ensemble:
        until then the model runs its steps."""
        state = self.states[name]
        files = state.serving.temporary if state.serving else state.waiting_files
        temporary = None if keep_files else files
        state.serving = None
        return self._retire(state, state.ready(), temporary, after)

    def _retire(
        self,
        state: ModelState[M],
        leaving: Sequence[VersionState[M]],
        temporary: TemporaryDirectory | None,
        after: asyncio.Task[None] | None = None,
    ) -> asyncio.Task[None]:
        for entry in leaving:
            entry.state = "UNLOADING"
        if after is not None:
            self.table.keep(_models(leaving))
        self.table.refresh(state.name)
        task = asyncio.create_task(self._free(leaving, temporary, after))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task

    async def _free(
        self,
        leaving: Sequence[VersionState[M]],
        temporary: TemporaryDirectory | None,
        after: asyncio.Task[None] | None,
    ) -> None:
        if not leaving and temporary is None:
            return
        if after is not None:
            await after
            self.table.release(_models(leaving))
        await asyncio.gather(*(self._free_version(entry) for entry in leaving))
        if temporary is not None:
            await asyncio.to_thread(temporary.cleanup)
        self._memory.ask()

    async def _free_version(self, entry: VersionState[M]) -> None:
        model = entry.model
        assert model is not None
        name = model.name
        try:
            await model.drain()
            await asyncio.to_thread(model.close)
        except Exception:
            _log.exception("failed to close '%s' version %d", name, entry.version)
        self.table.freed(model)
        del model
        entry.model = None
        entry.state, entry.reason = "UNAVAILABLE", UNLOADED
        _log.info("successfully unloaded '%s' version %d", name, entry.version)

    async def end(self) -> None:
        """Take everything down and wait for it: ensembles first, because they run their steps to the end."""
        self._memory.close()
        while names := [name for name, state in self.states.items() if state.ready()]:
            steps = {name: self.states[name].steps for name in names}
            free = [name for name in names if not users_of([name], steps)] or names
            await asyncio.gather(*(self.take_down(name) for name in free))
        while self._retiring:
            await asyncio.wait(self._retiring)
        for state in self.states.values():
            if state.waiting_files is not None:
                await asyncio.to_thread(state.waiting_files.cleanup)

    def close(self) -> None:
        """Refuse further loads; threads that are still at it end when they are done."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _models(entries: Sequence[VersionState[M]]) -> list[M]:
    return [entry.model for entry in entries if entry.model is not None]
