"""Which models the repositories hold (config §1.1): every sub-directory, hidden ones too, one level deep."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from despina.config.names import ONNX_SUFFIXES
from despina.errors import Internal, InvalidArgument
from despina.repository.files import DEFAULT_FILENAME

_log = logging.getLogger(__name__)

DUPLICATE = "model appears in two or more repositories"
"""The index's reason for a model that is not loaded because its name is not unique."""


def check_repositories(repositories: Sequence[Path]) -> None:
    """Raises InvalidArgument or Internal unless there is a repository and every one is a directory."""
    if not repositories:
        raise InvalidArgument("--model-repository must be specified")
    for repository in repositories:
        if not repository.exists():
            raise Internal(f"failed to stat file {repository}")
        if not repository.is_dir():
            raise InvalidArgument("repository path is not a valid directory")


def places(repositories: Iterable[Path]) -> dict[str, list[Path]]:
    """The repositories that hold a directory of a name, sorted by name. Raises Internal when one cannot be listed."""
    found: dict[str, list[Path]] = {}
    for repository in sorted(set(repositories)):
        for name in _directories(repository):
            found.setdefault(name, []).append(repository)
    return dict(sorted(found.items()))


def tell_stray_files(repositories: Iterable[Path]) -> None:
    """Say which model files are not served because they lie beside the model directories."""
    for repository in repositories:
        try:
            stray = [path for path in repository.iterdir() if path.suffix in ONNX_SUFFIXES and path.is_file()]
        except OSError:  # What cannot be listed is refused when its models are looked for.
            continue
        for path in sorted(stray):
            place = repository / path.stem / "1" / DEFAULT_FILENAME
            _log.warning("'%s' is not served: move it to '%s', or give --model-repository the file itself", path, place)


def _directories(repository: Path) -> list[str]:
    try:
        with os.scandir(repository) as entries:
            return [entry.name for entry in entries if _is_directory(entry)]
    except OSError as error:
        raise Internal(f"failed to open directory {repository}: {error.strerror}") from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    # The listing itself mostly says it. What a link leads to it does not, and a link may lead nowhere.
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir(follow_symlinks=False)
