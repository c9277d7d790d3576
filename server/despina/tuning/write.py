"""The tuned configuration as text, and into the model's directory."""

import shutil
from itertools import count
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]  # ships no types

from despina.config.names import complete_names
from despina.config.proto import ModelConfig
from despina.config.read import config_path, read_model_config

_text_format: Any = text_format


def written_config(name: str, directory: Path) -> ModelConfig:
    """The configuration as it lies in the directory; where there is none, what the files there say."""
    config = read_model_config(directory)
    return complete_names(config, name, directory) if config_path(directory) is None else config


def config_text(config: ModelConfig) -> str:
    """config.pbtxt's text. Comments of the file it came from are not in a message, hence not here."""
    text: str = _text_format.MessageToString(config)
    return text.rstrip("\n") + "\n"


def write_config(config: ModelConfig, directory: Path) -> tuple[Path, Path | None]:
    """Write config.pbtxt; the file, and the copy of the old one. Raises OSError."""
    path = directory / "config.pbtxt"
    kept = _free_name(path) if path.exists() else None
    partial = path.with_name(path.name + ".new")
    try:
        partial.write_text(config_text(config))
        if kept is not None:
            shutil.copy2(path, kept)
            shutil.copymode(path, partial)
        # At once, for a server that polls the repository.
        partial.replace(path)
    except OSError:
        # Of a write that failed, as where the disk is full, nothing stays in the model's directory.
        for left in (partial, kept):
            if left is not None and left.is_file():
                left.unlink()
        raise
    return path, kept


def _free_name(path: Path) -> Path:
    """For a copy. Older copies stay: the first one is what was written by hand, comments and all."""
    names = (path.with_name(f"{path.name}.bak{number or ''}") for number in count())
    return next(name for name in names if not name.exists())
