"""The serving table: name and version → the model that answers, and what is said when there is none.

`get` is on the way of every request, so the table holds one entry per READY version and one per model for "latest";
everything slower happens only on the way to an error.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Generic

from despina.errors import DespinaError, InvalidArgument, NotFound, Unavailable
from despina.models.states import M, ModelState


class ServingTable(Generic[M]):
    """Reads `states`; `refresh` must be called whenever READY versions of a model come or go, `freed` when one that
    went is no more."""

    def __init__(self, states: Mapping[str, ModelState[M]]) -> None:
        self._states = states
        self._ready: dict[tuple[str, int | None], M] = {}
        self._held: dict[tuple[str, int], M] = {}
        self._unfreed: Counter[tuple[str, int]] = Counter()
        self._kept: dict[tuple[str, int | None], M] = {}

    def get(self, name: str, version: int | None) -> M:
        """The READY version, the highest one for None. Raises NotFound, Unavailable (protocol §0.7)."""
        model = self._ready.get((name, version))
        if model is None:
            raise self._absent(name, version)
        return model

    def for_ensembles(self, name: str, version: int | None) -> M:
        """As `get`, and what is kept beside."""
        return self._ready.get((name, version)) or self._kept.get((name, version)) or self.get(name, version)

    def keep(self, models: Iterable[M]) -> None:
        """Versions of a model that serve no client any more, ascending, are there for ensembles under way."""
        for model in models:
            self._kept[model.name, model.version] = self._kept[model.name, None] = model

    def release(self, models: Iterable[M]) -> None:
        """They are not needed any longer."""
        for model in models:
            for key in ((model.name, model.version), (model.name, None)):
                if self._kept.get(key) is model:
                    del self._kept[key]

    def _absent(self, name: str, version: int | None) -> DespinaError:
        state = self._states.get(name)
        unknown = f"Request for unknown model: '{name}'"
        if state is None or not state.listed:
            return NotFound(f"{unknown} is not found")
        if version is None:
            return NotFound(f"{unknown} has no available versions")
        if version not in state.versions:
            return NotFound(f"{unknown} version {version} is not found")
        return Unavailable(f"{unknown} version {version} is not at ready state")

    def refresh(self, name: str) -> None:
        """Bring the entries of one model in line with its state."""
        state = self._states[name]
        for version in (None, *state.versions):
            self._ready.pop((name, version), None)
        for entry in state.ready():
            assert entry.model is not None
            self._ready[name, entry.version] = entry.model
            self._ready[name, None] = entry.model
            if self.holding(name, entry.version) is not entry.model:
                self._held[name, entry.version] = entry.model
                self._unfreed[name, entry.version] += 1

    def freed(self, model: M) -> None:
        """A version that was READY has answered everything and is closed."""
        key = model.name, model.version
        self._unfreed[key] -= 1
        if not self._unfreed[key]:
            del self._unfreed[key], self._held[key]

    def holding(self, name: str, version: int) -> M | None:
        """The version that was READY last, as long as it, or one that it replaced, is not freed yet."""
        return self._held.get((name, version))

    def held(self) -> list[M]:
        """What `holding` tells of every version, by name and version."""
        return [model for _, model in sorted(self._held.items(), key=itemgetter(0))]

    def models(self) -> list[M]:
        """Every READY version, by name and version."""
        entries = (entry for _, state in sorted(self._states.items()) for entry in state.ready())
        return [entry.model for entry in entries if entry.model is not None]

    def versions(self, name: str) -> list[int]:
        """READY versions of a model, ascending; empty for an unknown one."""
        state = self._states.get(name)
        return [] if state is None else [entry.version for entry in state.ready()]

    def statistics_of(self, name: str | None, version: int | None) -> list[M]:
        """The READY versions a statistics request is about. Raises InvalidArgument (protocol §1.6): no READY version at
        all has a text of its own, whichever version was asked for."""
        if name is None:
            return self.models()
        versions = self.versions(name)
        if not versions:
            raise InvalidArgument(f"requested model '{name}' is not available")
        if version is not None and version not in versions:
            raise InvalidArgument(f"requested model version is not available for model '{name}'")
        return [self._ready[name, v] for v in versions if version in (None, v)]
