"""What a registered path holds: its files, and its empty folders, by the path they will have in the model.

A folder keeps its own name as the top of the model and a file its file name, so `-p models` becomes `models/...`.
Links are followed inside the tree and refused when they leave it: what they point to may not be there, or may change,
when the model is served. Despina's own folders (the home that stores the model, and every `.despina`) are left out:
they hold the keys of services and the bytes of other models.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from despina.deploy.home import FOLDER
from despina.errors import InvalidArgument, NotFound


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """`path` is where it will be in the model; `source` is None for an empty folder."""

    path: str
    source: Path | None
    executable: bool = False


def read_tree(path: Path, child_paths: Sequence[str] = (), home: Path | None = None) -> list[TreeEntry]:
    """Everything below `path`, or only what lies in its `child_paths`, sorted by path; without the folder `home`.
    Raises NotFound: `path`, or a child path, does not exist. Raises InvalidArgument: it is Despina's own folder, or it
    holds no files, or a link that leaves it, or something that is neither file nor folder."""
    check_exists(path)
    root = path.resolve()
    own = None if home is None else home.resolve()
    if root.name == FOLDER or root == own:
        raise InvalidArgument(
            f"model path {path} is the folder of Despina's registry, services and keys, not a model; "
            "name the model's folder or file"
        )
    # `-p .` and `-p models/..` are called what they resolve to; a link is called what the user called it.
    top = root.name if path.name in ("", "..") else path.name
    entries = sorted(_walk(root, PurePosixPath(top), _Bounds(root, own), ()), key=lambda entry: entry.path)
    if child_paths:
        entries = _children(entries, top, child_paths)
    if not any(entry.source for entry in entries):
        raise InvalidArgument(f"model path {path} holds no files")
    return entries


def check_exists(path: Path) -> None:
    """Raises NotFound: there is nothing at a model path."""
    if not path.exists():
        raise NotFound(f"model path {dangling(path)}" if path.is_symlink() else f"model path {path} does not exist")


def dangling(link: Path) -> str:
    """What is wrong with a link that leads nowhere, and what to do."""
    return f"{link} is a link to {link.readlink()}, which does not exist; remove the link or restore its target"


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What may be stored: what really lies below `root`, and not in Despina's own folders, of which `home` is one."""

    root: Path
    home: Path | None

    def is_own(self, real: Path) -> bool:
        # A home above the root holds the whole model, and is none of its parts.
        in_home = self.home is not None and self.home.is_relative_to(self.root) and real.is_relative_to(self.home)
        return in_home or FOLDER in real.relative_to(self.root).parts


def _walk(path: Path, name: PurePosixPath, bounds: _Bounds, above: tuple[Path, ...]) -> Iterator[TreeEntry]:
    if not _is_text(str(name)):
        raise InvalidArgument(f"{os.fsencode(str(name))!r} is not a name in UTF-8; rename it")
    real = _inside(path, name, bounds)
    if real in above:
        raise InvalidArgument(f"{name} is a link to a folder that contains it ({real}); remove the link")
    if real.is_dir():
        children = [
            child for child in sorted(path.iterdir()) if child.is_symlink() or not bounds.is_own(real / child.name)
        ]
        if not children:
            yield TreeEntry(str(name), None)
        for child in children:
            yield from _walk(child, name / child.name, bounds, (*above, real))
        return
    mode = real.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InvalidArgument(f"{name} is neither a file nor a folder; remove it from the model path")
    yield TreeEntry(str(name), real, bool(mode & stat.S_IXUSR))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inside(path: Path, name: PurePosixPath, bounds: _Bounds) -> Path:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # the latter of links that go round in a circle
        raise InvalidArgument(f"{name} is a link to nothing; remove the link or restore its target") from None
    if not real.is_relative_to(bounds.root):
        raise InvalidArgument(f"{name} links to {real}, outside {bounds.root}; copy the file into the folder")
    if bounds.is_own(real):
        raise InvalidArgument(f"{name} links to {real}, in Despina's own folder; copy the file into the model's folder")
    return real


def _children(entries: list[TreeEntry], top: str, child_paths: Sequence[str]) -> list[TreeEntry]:
    chosen: set[TreeEntry] = set()
    for child in child_paths:
        below = PurePosixPath(top, child)
        found = [entry for entry in entries if PurePosixPath(entry.path).is_relative_to(below)]
        if not found:
            raise NotFound(f"child path {child} does not exist in {top}")
        chosen.update(found)
    return [entry for entry in entries if entry in chosen]
