"""Loading and unloading, with everything that depends on it.

    load, in one round:        bring up every name: read it, and unless it serves just that already
                                 bring up the steps of an ensemble, in the same round
                                 load its versions, which then replace those that serve
                               look at the ensembles that run what was touched, until nothing more changes:
                                 take down one that does not fit any longer
                                 make one anew whose steps were replaced
                                 bring back one that does not serve, when all its steps do
    unload:                    take the model down
                               take down the ensembles that ran it, and those above them
                               where asked for, unload the steps that nobody else wants

Changes of one model wait for each other; changes of different models run side by side. An ensemble holds its own lock
while its steps are brought up, never the other way round, and by then it is known to be free of cycles: nobody waits in
a ring. What is remembered of a model between changes stands in `states`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Generic
from weakref import WeakValueDictionary

from despina.errors import DespinaError
from despina.models.candidate import Candidate, is_modified
from despina.models.dependencies import Steps, left_over, needed_by
from despina.models.ensembles import CheckEnsemble, WantedEnsembles, refuse_cycles, refuse_missing_steps
from despina.models.failures import LoadFailed, NotInRepository, NotLoaded
from despina.models.kept_steps import KeptSteps
from despina.models.override import Override
from despina.models.round import Round
from despina.models.source import Source
from despina.models.states import M, Wanted
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
        self._ensembles = WantedEnsembles(transitions, check_ensemble)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._spawn = spawn
        self._kept_steps = KeptSteps()

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    # Loading

    async def load(self, names: Iterable[str], override: Override | None = None) -> dict[str, Exception]:
        """Bring `names` up, then see what that means for ensembles that run them. The failures by name. An override is
        for the only name."""
        asked = frozenset(names)

        async def bring_up(name: str, round_: Round) -> None:
            if name in asked:
                await self._bring_up(name, override, round_, Wanted.BY_NAME)
            else:
                await self._bring_up(name, None, round_, Wanted.AS_STEP)

        round_ = Round(bring_up)
        outcomes = await round_.outcomes(sorted(asked))
        wanted = self._ensembles.steps()
        for name in asked:
            outcomes[name] = outcomes[name] or await self._failed_poll_below(name, wanted, round_)
        await self._recheck_ensembles(round_)
        failures = {name: error for name, error in outcomes.items() if error is not None}
        for error in failures.values():
            if not isinstance(error, NotInRepository):  # that was logged with its reason
                _log.error("%s", str(error).rstrip())
        return failures

    async def _bring_up(self, name: str, override: Override | None, round_: Round, wanted: Wanted) -> None:
        async with self._lock(name):
            candidate = await self._polled(name, partial(self._source.candidate, name, override))
            state = self._states.get(name)
            if state and state.serving and not is_modified(state.serving, candidate):
                state.wanted = max(state.wanted, wanted)
                if state.serving.steps:
                    await self._bring_up_steps_again(state.serving, round_)
                return
            round_.replaced.add(name)
            try:
                await self._replace(candidate, round_, wanted)
            except BaseException:
                if candidate.temporary is not None:
                    await asyncio.to_thread(candidate.temporary.cleanup)
                raise

    async def _bring_back(self, name: str, round_: Round) -> None:
        """Bring up an ensemble again whose steps are all there: as it was, and with the steps as they are. Nobody asked
        to look at the files."""
        async with self._lock(name):
            state = self._states[name]
            if not state.wanted:  # It was unloaded meanwhile.
                return
            assert state.latest is not None
            candidate = await self._polled(name, partial(self._source.again, state.latest))
            round_.replaced.add(name)
            await self._replace(candidate, None, state.wanted)

    async def _polled(self, name: str, read: Callable[[], Candidate]) -> Candidate:
        try:
            return await asyncio.to_thread(read)
        except (DespinaError, OSError) as error:
            # An OSError is about a directory that may not be entered, or goes while it is read.
            reason = error.message if isinstance(error, DespinaError) else f"{error.filename}: {error.strerror}"
            _log.error("Poll failed for model directory '%s': %s", name, reason)
            raise NotInRepository(name, reason) from None

    async def _failed_poll_below(self, name: str, wanted: Steps, round_: Round) -> Exception | None:
        """What is told of `name`, which is loaded, when something it runs could not be read: that serves as before."""
        for step in sorted(needed_by([name], wanted)):
            if step in round_.names and isinstance(error := await round_.outcome(step), NotInRepository):
                return NotInRepository(name, error.reason)
        return None

    async def _replace(self, candidate: Candidate, round_: Round | None, wanted: Wanted) -> None:
        """Let `candidate` serve in the place of what does. Without a round its steps stay as they are."""
        state = self._transitions.state_of(candidate.name)
        waiting = state.waiting_files
        state.wanted, state.latest = max(state.wanted, wanted), candidate
        if waiting is not None and waiting is not candidate.temporary:
            await asyncio.to_thread(waiting.cleanup)
        with self._kept_steps.of(candidate):
            if candidate.steps:
                await self._bring_up_steps(candidate, round_)
            state.listed = True
            await self._bring_up_versions(candidate)

    async def _bring_up_versions(self, candidate: Candidate) -> None:
        if not candidate.versions:
            message = f"at least one version must be available under the version policy of model '{candidate.name}'"
            raise NotLoaded(candidate.name, message)
        try:
            await self._transitions.bring_up(candidate)
        except LoadFailed as failure:
            segments = (f"version {v} is at UNAVAILABLE state: {r};" for v, r in sorted(failure.reasons.items()))
            raise NotLoaded(candidate.name, "".join(segments)) from None

    # Ensembles

    async def _bring_up_steps(self, ensemble: Candidate, round_: Round | None) -> None:
        try:
            refuse_cycles(ensemble.name, await self._steps_below(ensemble))
            outcomes = await round_.outcomes(list(ensemble.steps)) if round_ else {}
            failures = {
                name: error for name, error in outcomes.items() if error and not self._transitions.table.versions(name)
            }
            refuse_missing_steps(ensemble, failures)
            self._ensembles.check(ensemble)
        except DespinaError as error:
            raise NotLoaded(ensemble.name, error.message, fits=False) from None

    async def _bring_up_steps_again(self, ensemble: Candidate, round_: Round) -> None:
        """Load what changed of the steps of an ensemble that serves; it may fit them no longer."""
        with self._kept_steps.of(ensemble):
            try:
                await self._bring_up_steps(ensemble, round_)
            except NotLoaded:
                self._ensembles.drop_if_broken(ensemble.name)
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

    async def _recheck_ensembles(self, round_: Round) -> None:
        """Models changed: an ensemble that ran them may fit no longer, one that waited for them may work now, and then
        belongs to what changed itself, as one does that is made anew."""
        seen: set[str] = set()
        while new := [name for name in (*round_.names, *round_.replaced) if name not in seen]:
            seen.update(new)
            for ensemble in self._ensembles.that_run(new):
                if self._states[ensemble].serving:
                    self._ensembles.drop_if_broken(ensemble)
                    await self._renew(ensemble, round_)
                elif ensemble not in round_.names and self._ensembles.may_work(ensemble):
                    error = await round_.outcome(ensemble, self._bring_back)
                    if error is not None:
                        _log.warning("%s", str(error).rstrip())

    async def _renew(self, name: str, round_: Round) -> None:
        """Make an ensemble anew that goes on serving with other steps. As in tritonserver its statistics begin anew."""
        async with self._lock(name):
            serving = self._states[name].serving
            if serving is None or name in round_.replaced or round_.replaced.isdisjoint(serving.steps):
                return
            round_.replaced.add(name)
            with suppress(LoadFailed):  # It serves as before, and the log says why.
                await self._transitions.bring_up(serving)

    # Unloading

    async def unload(self, name: str, unload_dependents: bool) -> None:
        """Stop serving a model; returns before its requests in flight are answered. With `unload_dependents` the steps
        of an ensemble go too, as far as nobody else needs them."""
        await self._kept_steps.until_free(name)
        async with self._lock(name):
            state = self._states.get(name)
            if state is None:
                return
            steps = state.steps if state.wanted else ()
            state.wanted = Wanted.NOT
            busy = any(entry.model is not None and entry.model.in_flight for entry in state.ready())
            retired = self._transitions.take_down(name)
        self._ensembles.drop_broken_above(name)
        if unload_dependents and steps:
            rest = self._unload_left_over(name, steps, retired)
            if busy:
                self._spawn(rest)
            else:
                await rest

    async def _unload_left_over(self, name: str, steps: tuple[str, ...], retired: asyncio.Task[None]) -> None:
        """Unload what `name` ran. Until `name` has answered everything it had accepted that serves nobody else."""
        by_name = {other for other, state in self._states.items() if state.wanted is Wanted.BY_NAME}
        for other in left_over(name, {**self._ensembles.steps(), name: steps}, by_name):
            if other not in self._states:
                continue
            async with self._lock(other):
                state = self._states[other]
                if state.wanted is Wanted.BY_NAME or self._ensembles.that_run([other]):
                    continue
                state.wanted = Wanted.NOT
                gone = self._transitions.take_down(other, after=retired)
            if state.steps:
                retired = gone
