"""Which models the repositories hold (config §1.1): every sub-directory, hidden ones too, one level deep."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from despina.config.names import ONNX_SUFFIXES
from despina.errors import Internal, InvalidArgument
from despina.repository.files import DEFAULT_FILENAME

_log = logging.getLogger(__name__)

DUPLICATE = "model appears in two or more repositories"
"""The index's reason for a model that is not loaded because its name is not unique."""


@dataclass(frozen=True, slots=True)
class ModelDirectories:
    """Models by name, and the names found in more than one repository, which belong to nobody."""

    models: dict[str, Path]
    duplicates: frozenset[str]

    def find(self, name: str) -> Path:
        """The directory of a model. Raises Internal with the reason for the log when there is none or several."""
        if name in self.duplicates:
            raise Internal(f"failed to poll model '{name}': not unique across all model repositories")
        if name not in self.models:
            raise Internal(f"failed to poll model '{name}': model not found in any model repository.")
        return self.models[name]


def check_repositories(repositories: Sequence[Path]) -> None:
    """Raises InvalidArgument or Internal unless there is a repository and every one is a directory."""
    if not repositories:
        raise InvalidArgument("--model-repository must be specified")
    for repository in repositories:
        if not repository.exists():
            raise Internal(f"failed to stat file {repository}")
        if not repository.is_dir():
            raise InvalidArgument("repository path is not a valid directory")


def scan(repositories: Iterable[Path]) -> ModelDirectories:
    """List the model directories of all repositories, sorted by name. Raises Internal when one cannot be listed."""
    models: dict[str, Path] = {}
    duplicates: set[str] = set()
    for repository in sorted(set(repositories)):
        for directory in _directories(repository):
            if directory.name in models:
                duplicates.add(directory.name)
            models[directory.name] = directory
    unique = {name: models[name] for name in sorted(models) if name not in duplicates}
    return ModelDirectories(unique, frozenset(duplicates))


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


def _directories(repository: Path) -> list[Path]:
    try:
        return [entry for entry in repository.iterdir() if entry.is_dir()]
    except OSError as error:
        raise Internal(f"failed to open directory {repository}: {error.strerror}") from error
