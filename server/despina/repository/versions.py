"""Version directories of a model, and which of them the version policy serves (config §1.2, §4.1)."""

import logging
import re
from collections.abc import Collection
from pathlib import Path

from despina.config.proto import ModelConfig
from despina.errors import Internal, InvalidArgument

_log = logging.getLogger(__name__)

NOT_VERSIONS = frozenset(("warmup", "initial_state", "configs"))
"""Directories with a meaning of their own."""

_VERSION = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_LARGEST = 2**63 - 1


def version_directories(model: Path) -> dict[int, Path]:
    """Version → its directory, lowest first. Anything else that is a directory earns a warning.

    Raises Internal when the model's directory cannot be listed.
    """
    versions = {}
    for entry in _entries(model):
        if entry.is_dir() and entry.name not in NOT_VERSIONS:
            version = version_of(entry.name)
            if version is None:
                _log.warning("%s", _complaint(entry.name))
            else:
                versions[version] = entry
    return dict(sorted(versions.items()))


def _entries(model: Path) -> list[Path]:
    try:
        return sorted(model.iterdir())
    except OSError as error:
        raise Internal(f"failed to open directory {model}: {error.strerror}") from error


def version_of(name: str) -> int | None:
    """The version that a directory of this name holds: a decimal number of at most 63 bits without leading zeros."""
    if not _VERSION.fullmatch(name) or int(name) > _LARGEST:
        return None
    return int(name)


def _complaint(name: str) -> str:
    if len(name) > 1 and name.startswith("0"):
        return f"ignore version directory '{name}' which contains leading zeros in its directory name"
    return f"ignore version directory '{name}' which fails to convert to integral number"


def select_versions(config: ModelConfig, available: Collection[int]) -> tuple[int, ...]:
    """The versions to serve, lowest first. Raises InvalidArgument when there is none."""
    selected = _selected(config, sorted(available))
    if not selected:
        raise InvalidArgument(
            f"at least one version must be available under the version policy of model '{config.name}'"
        )
    return selected


def _selected(config: ModelConfig, available: list[int]) -> tuple[int, ...]:
    policy = config.version_policy
    match policy.WhichOneof("policy_choice"):
        case "specific":
            return _specific(config.name, policy.specific.versions, available)
        case "latest":
            wanted = policy.latest.num_versions
        case None if not config.HasField("version_policy"):
            wanted = 1
        case _:
            # "all", and a policy that says nothing.
            return tuple(available)
    return tuple(available[-wanted:]) if wanted else ()


def _specific(name: str, wanted: Collection[int], available: list[int]) -> tuple[int, ...]:
    for version in wanted:
        if version not in available:
            _log.warning(
                "version %d is specified for model '%s', but the version directory is not present", version, name
            )
    return tuple(version for version in available if version in wanted)
