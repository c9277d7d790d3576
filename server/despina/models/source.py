"""Where models come from: the repositories' directories, or the files of a load request. Everything here blocks."""

from collections.abc import Mapping
from dataclasses import replace
from os.path import isdir
from pathlib import Path

from despina.config.proto import ModelConfig
from despina.config.read import parse_json, read_model_config
from despina.config.stages import poll_stage
from despina.errors import Internal, InvalidArgument
from despina.models.candidate import Candidate
from despina.models.override import Override, write_files
from despina.repository.scan import places
from despina.repository.stamp import Stamp, take_stamp
from despina.repository.temporary import TemporaryDirectory
from despina.repository.versions import select_versions, version_directories
from despina.settings import Settings


class Source:
    """The repositories of `settings`, read anew at every call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def names(self) -> dict[str, bool]:
        """Every model with a directory, sorted; False for a name found in two or more repositories."""
        found = places(self._settings.model_repository)
        return {name: len(repositories) == 1 for name, repositories in found.items()}

    def stamps(self) -> Mapping[str, Stamp]:
        """When each model last changed. Names that are not unique are left out."""
        found = places(self._settings.model_repository)
        return {name: take_stamp(holders[0] / name) for name, holders in found.items() if len(holders) == 1}

    def candidate(self, name: str, override: Override | None = None) -> Candidate:
        """Read one model: its configuration up to what only the model file can tell, and its versions. Raises
        DespinaError with the reason of a failed poll (config §4.4)."""
        if override is not None and override.files:
            return self._from_files(name, override, override.files)
        directory = self._find(name)
        # Before anything is read: a change that comes in between is seen by the next poll.
        stamp = take_stamp(directory)
        written = self._written(directory, override.config if override else None)
        config = self._config(written, name, directory)
        overridden = override is not None and override.config is not None
        return Candidate(name, directory, config, _versions(config, directory), stamp, overridden, written=written)

    def again(self, candidate: Candidate) -> Candidate:
        """As it was read before, with the versions that its directory has now. Raises Internal when that is gone."""
        return replace(candidate, versions=_versions(candidate.config, candidate.directory))

    def has(self, name: str) -> bool:
        """Whether a model of this name has a directory."""
        return bool(self._paths(name))

    def _find(self, name: str) -> Path:
        """The directory of a model. Raises Internal with the reason for the log when there is none or several."""
        paths = self._paths(name)
        if len(paths) > 1:
            raise Internal(f"failed to poll model '{name}': not unique across all model repositories")
        if not paths:
            raise Internal(f"failed to poll model '{name}': model not found in any model repository.")
        return paths[0]

    def _paths(self, name: str) -> list[Path]:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            return []
        # `Path.is_dir` would raise for a name that is too long.
        return [path for repository in set(self._settings.model_repository) if isdir(path := repository / name)]

    def _from_files(self, name: str, override: Override, files: Mapping[str, bytes]) -> Candidate:
        if override.config is None:
            raise InvalidArgument("Load parameter 'config' must be specified for model file override")
        temporary = TemporaryDirectory("model")
        try:
            directory = temporary.path
            write_files(directory, files)
            written = self._written(directory, override.config)
            config = self._config(written, name, directory)
            versions = _versions(config, directory)
        except BaseException:
            temporary.cleanup()
            raise
        return Candidate(name, directory, config, versions, take_stamp(directory), True, temporary, written)

    def _written(self, directory: Path, override: str | None) -> ModelConfig:
        if override is not None:
            return parse_json(override)
        strict = self._settings.strict_model_config
        return read_model_config(directory, self._settings.model_config_name, required=strict)

    def _config(self, written: ModelConfig, name: str, directory: Path) -> ModelConfig:
        return poll_stage(written, name, directory, strict=self._settings.strict_model_config)


def _versions(config: ModelConfig, directory: Path) -> tuple[int, ...]:
    try:
        return select_versions(config, version_directories(directory))
    except InvalidArgument:
        # Not a failed poll but a failed load, with a text of its own.
        return ()
