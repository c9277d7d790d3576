"""When a model directory last changed, entry by entry, so that a poll can tell what to do about it (config §4.3)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from despina.repository.versions import version_of

ITSELF = ""
"""The entry of the model directory itself."""

CONFIG_ENTRIES = frozenset((ITSELF, "config.pbtxt", "configs"))


@dataclass(frozen=True, slots=True)
class Stamp:
    """Newest change (ns since the epoch) of the directory itself and of each child with all it contains.

    Compare stamps with `==`; an entry that went back in time has changed, too.
    """

    entries: dict[str, int]

    @property
    def newest(self) -> int:
        return max(self.entries.values(), default=0)


def take_stamp(directory: Path) -> Stamp:
    """The stamp of a model directory; empty when it does not exist."""
    changed = _changed(directory)
    if changed is None:
        return Stamp({})
    entries = {ITSELF: changed}
    for child in _children(directory):
        newest = max(_times(child, frozenset()), default=None)
        if newest is not None:
            entries[child.name] = newest
    return Stamp(entries)


def changed_versions(old: Stamp, new: Stamp, versions: Iterable[int]) -> set[int]:
    """Those of `versions` for which a new configuration cannot be enough: what is their own has changed from one stamp
    to the next, or else anything that every version uses (label files, warm-up data)."""
    names = {name for name in old.entries | new.entries if old.entries.get(name) != new.entries.get(name)}
    if any(version_of(name) is None for name in names - CONFIG_ENTRIES):
        return set(versions)
    return {version for version in versions if str(version) in names}


def _times(path: Path, above: frozenset[tuple[int, int]]) -> Iterator[int]:
    """Times of a file, or of a directory and all below it; links are followed, but not in circles."""
    try:
        status = path.stat()
    except OSError:
        return  # Gone since it was listed, or a dangling link.
    yield max(status.st_mtime_ns, status.st_ctime_ns)
    identity = (status.st_dev, status.st_ino)
    if S_ISDIR(status.st_mode) and identity not in above:
        for child in _children(path):
            yield from _times(child, above | {identity})


def _changed(path: Path) -> int | None:
    return next(_times(path, frozenset()), None)


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
