"""One model as it lies in the repository or came with a load request: ready to be loaded, nothing loaded yet."""

from dataclasses import dataclass, field
from pathlib import Path

from despina.config.proto import ModelConfig, copy_of
from despina.models.dependencies import steps_of
from despina.repository.stamp import Stamp, changed_versions
from despina.repository.temporary import TemporaryDirectory


@dataclass(frozen=True, slots=True)
class Candidate:
    """`config` is named, normalised and validated, but not yet completed from the model; `written` is what it was made
    from. `versions` are those the version policy selects, ascending. `overridden`: the configuration came with a
    request. `temporary` holds the files that came with it; it is None where the model directory is the repository's
    own. `steps` are the models an ensemble runs, kept because every change of any model asks for them."""

    name: str
    directory: Path
    config: ModelConfig
    versions: tuple[int, ...]
    stamp: Stamp
    overridden: bool = False
    temporary: TemporaryDirectory | None = None
    written: ModelConfig = field(default_factory=ModelConfig)
    steps: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", steps_of(self.config))


def is_modified(old: Candidate, new: Candidate) -> bool:
    """Whether a plain load has anything to do. A configuration that came with a request stays until a file changes;
    files that came with one never survive a plain load (config §4.4)."""
    if old.temporary is not None or new.overridden:
        return True
    return old.stamp != new.stamp


def versions_to_load(old: Candidate | None, new: Candidate, ready: frozenset[int]) -> tuple[int, ...]:
    """The versions of `new` that cannot go on serving as they are. A READY version is kept iff its own directory and
    everything beside configuration and versions are unchanged and the configurations differ in the version policy only
    (config §4.3). An ensemble is made anew."""
    if new.steps or old is None or old.temporary or new.temporary or _comparable(old.config) != _comparable(new.config):
        return new.versions
    changed = changed_versions(old.stamp, new.stamp, new.versions)
    return tuple(v for v in new.versions if v not in ready or v in changed)


def _comparable(config: ModelConfig) -> ModelConfig:
    result = copy_of(config)
    result.ClearField("version_policy")
    return result
