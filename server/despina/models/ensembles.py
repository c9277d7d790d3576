"""Whether an ensemble can be served: its steps are there, fit it, and do not lead back to it (config §4.3, §6.2)."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Generic

from despina.config.proto import ModelConfig
from despina.errors import DespinaError, InvalidArgument
from despina.models.candidate import Candidate
from despina.models.dependencies import Steps, find_cycle, users_of
from despina.models.failures import NotInRepository, NotLoaded
from despina.models.states import M
from despina.models.transitions import Transitions

_log = logging.getLogger("despina.models")

ConfigOf = Callable[[str, int | None], ModelConfig]
"""Name and version (None: the latest) → configuration of the READY model. Raises NotFound, Unavailable."""

CheckEnsemble = Callable[[ModelConfig, ConfigOf], None]
"""Whether an ensemble fits the models of its steps. Raises InvalidArgument with the reason."""


def refuse_cycles(name: str, steps: Steps) -> None:
    """Raises InvalidArgument when running `name` would run `name`."""
    cycle = find_cycle(name, steps)
    if cycle:
        raise InvalidArgument(f"circular dependency between ensembles: {cycle[0]} -> ... -> {cycle[-2]} -> {cycle[0]}")


def refuse_missing_steps(candidate: Candidate, failures: Mapping[str, Exception]) -> None:
    """`failures` are the steps without any READY version. Raises InvalidArgument when there is one."""
    missing = [name for name, error in failures.items() if isinstance(error, NotInRepository)]
    if missing:
        raise InvalidArgument(
            f"ensemble {candidate.name} contains models that are not available or ambiguous: {', '.join(missing)}"
        )
    for name, error in failures.items():
        if isinstance(error, NotLoaded) and not error.fits:
            what = f"is not valid. Model '{name}' failed"
        else:
            what = f"has no loaded version. Model '{name}' loading failed"
        why = error.why if isinstance(error, NotLoaded) else str(error)
        raise InvalidArgument(f"ensemble '{candidate.name}' depends on '{name}' which {what} with error: {why}")


class WantedEnsembles(Generic[M]):
    """The ensembles that somebody wants: what they run, and whether they can be served with the models that serve at
    the moment. Nothing here waits."""

    def __init__(self, transitions: Transitions[M], check: CheckEnsemble) -> None:
        self._transitions = transitions
        self._states = transitions.states
        self._check = check

    def steps(self) -> dict[str, tuple[str, ...]]:
        """The steps of every wanted ensemble. There may be thousands of other models, and every one that goes asks."""
        return {name: steps for name, state in self._states.items() if state.wanted and (steps := state.steps)}

    def that_run(self, names: Iterable[str]) -> list[str]:
        """Those with any of `names` among their own steps, sorted."""
        return sorted(users_of(names, self.steps()))

    def may_work(self, name: str) -> bool:
        """Whether all that an ensemble runs serves. It must not bring along what somebody unloaded, or what failed."""
        return all(self._transitions.table.versions(step) for step in self._states[name].steps)

    def check(self, ensemble: Candidate) -> None:
        """Raises InvalidArgument when it does not fit its steps, NotFound or Unavailable when one does not serve."""
        self._check(ensemble.config, self._config_of)

    def drop_if_broken(self, name: str) -> None:
        """Take an ensemble down that serves and does not fit its steps any longer, and then those that ran it."""
        state = self._states[name]
        if state.serving is None:
            return
        try:
            self.check(state.serving)
        except DespinaError as error:
            _log.warning("unloading ensemble '%s': %s", name, error.message)
            state.latest = state.serving  # That is what may come back, whatever failed to take its place.
            self._transitions.take_down(name, keep_files=True)
            self.drop_broken_above(name)

    def drop_broken_above(self, name: str) -> None:
        """The same for all that run `name`, which was taken down."""
        for ensemble in self.that_run([name]):
            self.drop_if_broken(ensemble)

    def _config_of(self, name: str, version: int | None) -> ModelConfig:
        return self._transitions.table.get(name, version).config
