"""Model control: which models and versions are served, from start to stop (config §4, protocol §1.9-1.11).

The event loop owns all state. Reading directories, creating sessions, warming up and closing happen in threads.
"""

import asyncio
import logging
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Generic

from despina.errors import DespinaError, InvalidArgument, Unavailable
from despina.models.changes import Changes
from despina.models.ensemble_fit import check_fit
from despina.models.ensembles import CheckEnsemble
from despina.models.loader import LoadedVersion, load_version
from despina.models.loading import Load
from despina.models.override import read_override
from despina.models.polling import Polling
from despina.models.report import StartReport, StartRow
from despina.models.source import Source
from despina.models.states import M, ModelState
from despina.models.transitions import Transitions
from despina.repository.scan import DUPLICATE, check_repositories
from despina.settings import Settings

_log = logging.getLogger("despina.models")

EVERYTHING = "*"


class Models(Generic[M]):
    """Every model of the server. `make_model` turns a loaded version into one that answers requests; it runs on the
    event loop. `now` is the wall clock in seconds, against which the age of a change on disk is told."""

    def __init__(
        self,
        settings: Settings,
        make_model: Callable[[LoadedVersion], M],
        *,
        load: Load | None = None,
        check_ensemble: CheckEnsemble = check_fit,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._source = Source(settings)
        self._transitions: Transitions[M] = Transitions(
            make_model,
            load or partial(load_version, settings=settings),
            settings.model_load_thread_count,
            settings.model_load_retry_count,
        )
        self._states: Mapping[str, ModelState[M]] = self._transitions.states
        self._changes = Changes(self._source, self._transitions, check_ensemble, self._spawn)
        self._polling = Polling(self._source, self._states, self._changes, now)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._poll_task: asyncio.Task[None] | None = None
        self._started = False
        self._stopping = False
        table = self._transitions.table
        # Bound here and not wrapped in methods: `get` is on the way of every request.
        self.get: Callable[[str, int | None], M] = table.get
        self.for_ensembles: Callable[[str, int | None], M] = table.for_ensembles
        self.holding: Callable[[str, int], M | None] = table.holding
        self.held: Callable[[], list[M]] = table.held
        self.ready_models: Callable[[], list[M]] = table.models
        self.versions: Callable[[str], list[int]] = table.versions
        self.statistics_of: Callable[[str | None, int | None], list[M]] = table.statistics_of

    # Start and stop

    async def start(self) -> StartReport[M]:
        """Load what the mode asks for. Raises InvalidArgument or Internal when there is no repository to load from, or
        when the start-up names contradict each other; a model that does not load is only reported."""
        check_repositories(self._settings.model_repository)
        names = await self._startup_names()
        failures = await self._changes.load(names)
        self._started = True
        if self._settings.model_control_mode == "poll" and self._settings.repository_poll_secs > 0:
            self._poll_task = asyncio.create_task(self._poll_forever())
        return self._report(failures)

    async def _startup_names(self) -> list[str]:
        wanted = self._settings.load_model
        if self._settings.model_control_mode == "explicit" and EVERYTHING not in wanted:
            return list(dict.fromkeys(wanted))
        if self._settings.model_control_mode == "explicit" and len(set(wanted)) > 1:
            raise InvalidArgument(
                f"Wildcard model name '{EVERYTHING}' must be the ONLY startup model if specified at all."
            )
        return list(await asyncio.to_thread(self._source.names))

    def _report(self, failures: Mapping[str, Exception]) -> StartReport[M]:
        rows = [
            StartRow(name, entry.version, entry.state, entry.reason, weakref.ref(entry.model) if entry.model else None)
            for name, state in self._states.items()
            for _, entry in sorted(state.versions.items())
        ]
        known = {row.name for row in rows}
        rows += [
            StartRow(name, None, "UNAVAILABLE", getattr(error, "reason", str(error)))
            for name, error in failures.items()
            if name not in known
        ]
        rows.sort(key=lambda row: (row.name, row.version or 0))
        return StartReport(tuple(rows), tuple((name, str(error)) for name, error in sorted(failures.items())))

    async def stop(self, timeout_s: float) -> bool:
        """Answer what was accepted, then free everything. False when `timeout_s` seconds were not enough."""
        self._stopping = True
        if self._poll_task is not None:
            self._poll_task.cancel()
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._transitions.end()
        except TimeoutError:
            return False
        finally:
            self._transitions.close()
        return True

    # Questions

    def is_ready(self, strict: bool) -> bool:
        """Started and not stopping; with `strict`, no model ever tried is failed or under way (config §1.7)."""
        serving = self._started and not self._stopping
        return serving and (not strict or all(state.settled() for state in self._states.values()))

    async def in_repository(self, name: str) -> bool:
        """Whether a model has a directory in a repository, loaded or not."""
        return await asyncio.to_thread(self._source.has, name)

    async def index(self, ready_only: bool) -> list[dict[str, str]]:
        """One row per version of every model that has a directory in a repository (protocol §1.9)."""
        listing = await asyncio.to_thread(self._source.names)
        return [row for name, unique in sorted(listing.items()) for row in self._index_rows(name, unique, ready_only)]

    def _index_rows(self, name: str, unique: bool, ready_only: bool) -> list[dict[str, str]]:
        if not unique:
            return [{"name": name, "state": "UNAVAILABLE", "reason": DUPLICATE}]
        state = self._states.get(name)
        if state is None or not state.listed:
            return [] if ready_only else [{"name": name}]
        rows = []
        for version, entry in sorted(state.versions.items()):
            if entry.state == "READY" or not ready_only:
                row = {"name": name, "version": str(version), "state": entry.state}
                rows.append(row | {"reason": entry.reason} if entry.reason else row)
        return rows

    async def poll(self) -> None:
        """Look at the repositories once, as mode "poll" does every so many seconds."""
        await self._shielded(self._polling.once())

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.repository_poll_secs)
            try:
                await self.poll()
            except DespinaError as error:
                _log.error("failed to poll the model repository: %s", error.message)
            except Exception:
                _log.exception("failed to poll the model repository")

    # Load and unload on request

    async def load(self, name: str, parameters: Mapping[str, str | bytes]) -> None:
        """Load or reload a model and wait for it; `parameters` as of `read_override`. A caller that is cancelled does
        not cancel the load. Raises Unavailable, InvalidArgument, Internal (protocol §1.10)."""
        self._require_explicit_mode()
        _check_name(name)
        override = read_override(parameters)
        failures = await self._shielded(self._changes.load([name], override))
        if name in failures:
            raise failures[name]

    async def unload(self, name: str, unload_dependents: bool) -> None:
        """Stop serving a model; returns before its requests in flight are answered. With `unload_dependents` the steps
        of an ensemble go too, as far as nobody else needs them. Raises Unavailable (protocol §1.11)."""
        self._require_explicit_mode()
        await self._shielded(self._changes.unload(name, unload_dependents))

    def _require_explicit_mode(self) -> None:
        if self._stopping or not self._started:
            raise Unavailable("Server not ready")
        if self._settings.model_control_mode != "explicit":
            raise Unavailable("explicit model load / unload is not allowed if polling is enabled")

    async def _shielded(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _check_name(name: str) -> None:
    stripped = name.strip()
    if not stripped:
        raise InvalidArgument("Model name cannot be empty. Please enter a valid name to deploy.")
    if stripped == ".." or "/" in stripped:
        raise InvalidArgument(f"invalid model name '{stripped}', model name must not contain path traversal characters")
