"""Loading and unloading, with everything that depends on it.

Changes of one model wait for each other; changes of different models run side by side. An ensemble holds its own lock
while its steps are brought up, never the other way round, and by then it is known to be free of cycles: nobody waits in
a ring.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic
from weakref import WeakValueDictionary

from despina.config.proto import ModelConfig
from despina.errors import DespinaError
from despina.models.candidate import Candidate, is_modified
from despina.models.dependencies import dependents_of, left_over, needed_by
from despina.models.ensembles import CheckEnsemble, refuse_cycles, refuse_missing_steps
from despina.models.failures import LoadFailed, NotInRepository, NotLoaded
from despina.models.override import Override
from despina.models.round import Round
from despina.models.source import Source
from despina.models.states import M
from despina.models.transitions import Transitions

_log = logging.getLogger("despina.models")

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Lets work go on that nobody waits for, and keeps it from being forgotten."""


class Changes(Generic[M]):
    """What a start, a poll or a request does to the state map. `spawn` is for what outlives the call."""

    def __init__(
        self, source: Source, transitions: Transitions[M], check_ensemble: CheckEnsemble, spawn: Spawn
    ) -> None:
        self._source = source
        self._transitions = transitions
        self._states = transitions.states
        self._check_ensemble = check_ensemble
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._spawn = spawn
        self._held: dict[str, tuple[tuple[str, ...], asyncio.Event]] = {}

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    # Loading

    async def load(self, names: Iterable[str], override: Override | None = None) -> dict[str, Exception]:
        """Bring `names` up, then see what that means for ensembles that run them. The failures by name. An override is
        for the only name."""
        asked = frozenset(names)
        overrides = dict.fromkeys(asked, override)
        returning: set[str] = set()

        async def change(name: str, round_: Round) -> None:
            if name in returning:
                await self._bring_back(name)
            else:
                await self._bring_up(name, overrides.get(name), round_, explicit=name in asked)

        round_ = Round(change)
        outcomes = await round_.outcomes(sorted(asked))
        for name in asked:
            outcomes[name] = outcomes[name] or await self._failed_poll_below(name, round_)
        await self._recheck_ensembles(round_, returning)
        failures = {name: error for name, error in outcomes.items() if error is not None}
        for error in failures.values():
            if not isinstance(error, NotInRepository):  # that was logged with its reason
                _log.error("%s", str(error).rstrip())
        return failures

    async def _bring_up(self, name: str, override: Override | None, round_: Round, *, explicit: bool) -> None:
        async with self._lock(name):
            candidate = await self._polled(name, partial(self._source.candidate, name, override))
            state = self._states.get(name)
            if state and state.candidate and state.ready() and not is_modified(state.candidate, candidate):
                state.explicit |= explicit
                if state.candidate.steps:
                    await self._bring_up_steps_again(state.candidate, round_)
                return
            try:
                await self._replace(candidate, round_, explicit)
            except BaseException:
                if candidate.temporary is not None:
                    await asyncio.to_thread(candidate.temporary.cleanup)
                raise

    async def _bring_back(self, name: str) -> None:
        """Bring up an ensemble again whose steps are all there: as it was, and with the steps as they are. Nobody asked
        to look at the files."""
        async with self._lock(name):
            state = self._states[name]
            if not state.wanted:  # It was unloaded meanwhile.
                return
            assert state.attempt is not None
            candidate = await self._polled(name, partial(self._source.again, state.attempt))
            await self._replace(candidate, None, explicit=False)

    async def _polled(self, name: str, read: Callable[[], Candidate]) -> Candidate:
        try:
            return await asyncio.to_thread(read)
        except (DespinaError, OSError) as error:
            # An OSError is about a directory that may not be entered, or goes while it is read.
            reason = error.message if isinstance(error, DespinaError) else f"{error.filename}: {error.strerror}"
            _log.error("Poll failed for model directory '%s': %s", name, reason)
            raise NotInRepository(name, reason) from None

    async def _failed_poll_below(self, name: str, round_: Round) -> Exception | None:
        """What is told of `name`, which is loaded, when something it runs could not be read: that serves as before."""
        for step in sorted(needed_by([name], self._wanted_steps())):
            if step in round_.names and isinstance(error := await round_.outcome(step), NotInRepository):
                return NotInRepository(name, error.reason)
        return None

    async def _replace(self, candidate: Candidate, round_: Round | None, explicit: bool) -> None:
        name = candidate.name
        state = self._transitions.state_of(name)
        waiting = state.waiting_files
        state.wanted, state.explicit, state.attempt = True, state.explicit or explicit, candidate
        if waiting is not None and waiting is not candidate.temporary:
            await asyncio.to_thread(waiting.cleanup)
        with self._holding_steps(candidate):
            if candidate.steps:
                await self._bring_up_steps(candidate, round_)
            state.tried = True
            if not candidate.versions:
                message = f"at least one version must be available under the version policy of model '{name}'"
                raise NotLoaded(name, message)
            try:
                await self._transitions.bring_up(candidate)
            except LoadFailed as failure:
                segments = (f"version {v} is at UNAVAILABLE state: {r};" for v, r in sorted(failure.reasons.items()))
                raise NotLoaded(name, "".join(segments)) from None

    # Ensembles

    @contextmanager
    def _holding_steps(self, candidate: Candidate) -> Iterator[None]:
        """Keeps the steps of an ensemble from being unloaded while it is brought up."""
        loaded = self._held[candidate.name] = (candidate.steps, asyncio.Event())
        try:
            yield
        finally:
            del self._held[candidate.name]
            loaded[1].set()

    async def _until_free(self, name: str) -> None:
        """Return when no ensemble that runs `name` is being brought up."""
        while waiting := [loaded for steps, loaded in self._held.values() if name in steps]:
            await waiting[0].wait()

    async def _bring_up_steps(self, ensemble: Candidate, round_: Round | None) -> None:
        """Without a round they stay as they are."""
        try:
            refuse_cycles(ensemble.name, await self._steps_below(ensemble))
            outcomes = await round_.outcomes(list(ensemble.steps)) if round_ else {}
            failures = {
                name: error for name, error in outcomes.items() if error and not self._transitions.table.versions(name)
            }
            refuse_missing_steps(ensemble, failures)
            self._check_ensemble(ensemble.config, self._config_of)
        except DespinaError as error:
            raise NotLoaded(ensemble.name, error.message, fits=False) from None

    async def _bring_up_steps_again(self, ensemble: Candidate, round_: Round) -> None:
        """Load what changed of the steps of an ensemble that serves; it may fit them no longer."""
        with self._holding_steps(ensemble):
            try:
                await self._bring_up_steps(ensemble, round_)
            except NotLoaded:
                if self._states[ensemble.name].ready():  # It may have gone with one of its steps.
                    self._drop_if_broken(ensemble.name)
                raise

    async def _steps_below(self, ensemble: Candidate) -> dict[str, tuple[str, ...]]:
        """Who runs whom, from `ensemble` down, as the repository has it now."""
        steps: dict[str, tuple[str, ...]] = {ensemble.name: ensemble.steps}
        pending = list(ensemble.steps)
        while pending:
            name = pending.pop()
            if name not in steps:
                with suppress(DespinaError):
                    steps[name] = (await asyncio.to_thread(self._source.candidate, name, None)).steps
                pending.extend(steps.setdefault(name, ()))
        return steps

    def _config_of(self, name: str, version: int | None) -> ModelConfig:
        return self._transitions.table.get(name, version).config

    async def _recheck_ensembles(self, round_: Round, returning: set[str]) -> None:
        """Models changed: an ensemble that ran them may fit no longer, one that waited for them may work now. The names
        of the latter are put into `returning`."""
        seen: set[str] = set()
        while new := [name for name in round_.names if name not in seen]:
            seen.update(new)
            for name in {user for changed in new for user in dependents_of(changed, self._wanted_steps())}:
                if self._states[name].ready():
                    self._drop_if_broken(name)
                elif name not in round_.names and self._may_work(name):
                    returning.add(name)
                    if error := await round_.outcome(name):
                        _log.warning("%s", str(error).rstrip())

    def _may_work(self, ensemble: str) -> bool:
        """Whether all that `ensemble` runs is there. It must not bring along what somebody unloaded, or what failed."""
        return all(self._transitions.table.versions(step) for step in self._states[ensemble].steps)

    def _drop_if_broken(self, name: str) -> None:
        state = self._states[name]
        assert state.candidate is not None
        try:
            self._check_ensemble(state.candidate.config, self._config_of)
        except DespinaError as error:
            _log.warning("unloading ensemble '%s': %s", name, error.message)
            state.attempt = state.candidate  # That is what may come back, whatever failed to take its place.
            self._transitions.take_down(name, keep_files=True)
            for dependent in dependents_of(name, self._wanted_steps()):
                if self._states[dependent].ready():
                    self._drop_if_broken(dependent)

    def _wanted_steps(self) -> dict[str, tuple[str, ...]]:
        return {name: state.runs for name, state in self._states.items() if state.wanted}

    # Unloading

    async def unload(self, name: str, unload_dependents: bool) -> None:
        """Stop serving a model; returns before its requests in flight are answered. With `unload_dependents` the steps
        of an ensemble go too, once it has answered, as far as nobody else needs them."""
        await self._until_free(name)
        async with self._lock(name):
            state = self._states.get(name)
            if state is None:
                return
            steps = state.runs
            state.wanted = state.explicit = False
            busy = any(entry.model is not None and entry.model.in_flight for entry in state.ready())
            retired = self._transitions.take_down(name)
        for dependent in dependents_of(name, self._wanted_steps()):
            if self._states[dependent].ready():
                self._drop_if_broken(dependent)
        if unload_dependents and steps:
            rest = self._unload_left_over(name, steps, retired)
            if busy:
                self._spawn(rest)
            else:
                await rest

    async def _unload_left_over(self, name: str, steps: tuple[str, ...], retired: asyncio.Task[None]) -> None:
        """Unload what `name` ran, once `name` has answered everything it had accepted."""
        await retired
        explicit = {other for other, state in self._states.items() if state.explicit}
        for other in left_over(name, {**self._wanted_steps(), name: steps}, explicit):
            if other not in self._states:
                continue
            async with self._lock(other):
                state = self._states[other]
                if state.explicit or dependents_of(other, self._wanted_steps()):
                    continue
                state.wanted = False
                retired = self._transitions.take_down(other)
            if state.steps:
                await retired
