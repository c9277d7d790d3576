"""The state map: what is known about every model that was ever tried, version by version (config §4.5, 4.6).

Owned by the event loop. An entry is replaced, never reused, when a version is loaded again: whoever still drains the
old one writes into an object that nobody looks at any more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from despina.config.proto import ModelConfig
from despina.models.candidate import Candidate
from despina.repository.temporary import TemporaryDirectory

State = Literal["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]

UNLOADED = "unloaded"


class ServingModel(Protocol):
    """A version that answers requests. `drain` returns when nothing is in flight; `close` blocks and frees it."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def config(self) -> ModelConfig: ...

    @property
    def in_flight(self) -> bool: ...

    async def drain(self) -> None: ...

    def close(self) -> None: ...


M = TypeVar("M", bound=ServingModel)


@dataclass(slots=True, eq=False)
class VersionState(Generic[M]):
    """One version; `model` is there while it is READY or UNLOADING."""

    version: int
    state: State
    reason: str = ""
    model: M | None = None


@dataclass(slots=True, eq=False)
class ModelState(Generic[M]):
    """One model. `candidate` is what the serving versions were made from. `tried`: an attempt to load it got as far as
    its versions, which one to load an ensemble that its steps do not fit does not; `wanted`: somebody asked for it and
    nobody unloaded it since; `explicit`: asked for by its own name, not only as a step of an ensemble; `attempt`: what
    the last attempt to load it was made from."""

    name: str
    versions: dict[int, VersionState[M]] = field(default_factory=dict)
    candidate: Candidate | None = None
    tried: bool = False
    wanted: bool = False
    explicit: bool = False
    attempt: Candidate | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """What it runs, as of the last attempt to load it."""
        return self.attempt.steps if self.attempt else ()

    @property
    def waiting_files(self) -> TemporaryDirectory | None:
        """What came with a request for a model that does not serve now and may come back."""
        return self.attempt.temporary if self.attempt and not self.candidate else None

    @property
    def runs(self) -> tuple[str, ...]:
        """The steps of what serves, and of the last attempt to load it, which may have failed."""
        return tuple(dict.fromkeys((*self.steps, *(self.candidate.steps if self.candidate else ()))))

    def ready(self) -> list[VersionState[M]]:
        """READY versions, ascending."""
        return [self.versions[version] for version in sorted(self.versions) if self.is_ready(version)]

    def is_ready(self, version: int) -> bool:
        entry = self.versions.get(version)
        return entry is not None and entry.state == "READY"

    def mark(self, versions: Iterable[int], state: State, reason: str = "") -> None:
        """A new entry for each of `versions` that is not serving."""
        for version in versions:
            if not self.is_ready(version):
                self.versions[version] = VersionState(version, state, reason)

    def settled(self) -> bool:
        """Nothing failed and nothing is under way: what strict readiness asks (config §1.7)."""
        versions = self.versions.values()
        return not self.tried or (
            bool(versions) and all(entry.state == "READY" or entry.reason == UNLOADED for entry in versions)
        )
