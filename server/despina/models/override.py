"""What a load request brings along: a configuration, and perhaps the model's files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from despina.errors import InvalidArgument

FILE_PREFIX = "file:"


@dataclass(frozen=True, slots=True)
class Override:
    """`config` is the ModelConfig as JSON text; `files` are the bytes of files by path relative to the model directory.
    With any file the model consists of these files alone."""

    config: str | None = None
    files: Mapping[str, bytes] | None = None


def read_override(parameters: Mapping[str, str | bytes]) -> Override | None:
    """The parameters of a load request (protocol §1.10): `config` as text, `file:<path>` as bytes. None when there are
    none, so that the repository alone decides."""
    if not parameters:
        return None
    config = parameters.get("config")
    assert config is None or isinstance(config, str)
    files = {
        key.removeprefix(FILE_PREFIX): value
        for key, value in parameters.items()
        if key.startswith(FILE_PREFIX) and isinstance(value, bytes)
    }
    return Override(config, files or None)


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Lay the files out under `directory`. Raises InvalidArgument for a path that leaves it (config §4.4),
    or that no file can have."""
    root = directory.resolve()
    for relative, content in files.items():
        try:
            _write_file(root, relative, content)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidArgument(f"file parameter '{FILE_PREFIX}{relative}' can not be written: {reason}") from error


def _write_file(root: Path, relative: str, content: bytes) -> None:
    path = Path(f"{root}/{relative}").resolve()  # A path that begins with "/" is below the directory, too.
    if path == root or not path.is_relative_to(root):
        raise InvalidArgument(
            f"Invalid file parameter '{FILE_PREFIX}{relative}' with normalized path '{path}' must stay within model "
            "directory."
        )
    if relative.endswith("/"):
        raise InvalidArgument(f"file parameter '{FILE_PREFIX}{relative}' can not be written: it names a directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
