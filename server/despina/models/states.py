"""The state map: what is known about every model that was ever tried, version by version (config §4.5, 4.6).

Owned by the event loop. An entry is replaced, never reused, when a version is loaded again: whoever still drains the
old one writes into an object that nobody looks at any more.

What a model was read from is remembered twice, as what serves and what was tried last need not be the same:

                                                      wanted    serving    latest
    it serves                                         yes       this       this
    it serves, and an attempt to replace it failed    yes       this       what failed
    it was tried, and never served                    yes       None       what failed
    an ensemble that a change of its steps broke      yes       None       what served: it may come back
    it was unloaded                                   no        None       what was tried last
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
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


class Wanted(IntEnum):
    """How a model was asked for since it was unloaded: not at all, as a step of an ensemble, or by its own name."""

    NOT = 0
    AS_STEP = 1
    BY_NAME = 2


@dataclass(slots=True, eq=False)
class ModelState(Generic[M]):
    """One model. `serving` is what its READY versions were made from, None when there are none; `latest` what the last
    attempt to load it was made from. `listed`: its versions are shown, as an attempt got as far as these, which one to
    load an ensemble that its steps do not fit does not."""

    name: str
    versions: dict[int, VersionState[M]] = field(default_factory=dict)
    wanted: Wanted = Wanted.NOT
    serving: Candidate | None = None
    latest: Candidate | None = None
    listed: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """What it runs, or would if the last attempt to load it had not failed."""
        return tuple(dict.fromkeys(step for each in (self.latest, self.serving) if each for step in each.steps))

    @property
    def waiting_files(self) -> TemporaryDirectory | None:
        """What came with a request for a model that does not serve now and may come back."""
        return self.latest.temporary if self.latest and not self.serving else None

    def ready(self) -> list[VersionState[M]]:
        """READY versions, ascending."""
        return [entry for _, entry in sorted(self.versions.items()) if entry.state == "READY"]

    def mark(self, versions: Iterable[int], state: State, reason: str = "") -> None:
        """A new entry for each of `versions` that is not serving."""
        for version in versions:
            entry = self.versions.get(version)
            if entry is None or entry.state != "READY":
                self.versions[version] = VersionState(version, state, reason)

    def settled(self) -> bool:
        """Nothing failed and nothing is under way: what strict readiness asks (config §1.7)."""
        versions = self.versions.values()
        return not self.listed or (
            bool(versions) and all(entry.state == "READY" or entry.reason == UNLOADED for entry in versions)
        )
