"""Configuration files: JSON, or YAML where PyYAML, which Despina does without, is installed.

The original tools read these files with a YAML parser, which accepts a comma before a closing bracket; files with one
are in use. It is accepted here too, and the user is told where it stands, because JSON tools stumble over it.
"""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from despina.errors import InvalidArgument, NotFound, Unsupported

STRING_OR_TRAILING_COMMA = re.compile(r'"(?:[^"\\\n]|\\.)*"|(?P<comma>,)(?=\s*[}\]])')


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A parsed file, and what its author should know about it."""

    content: dict[str, Any]
    warnings: tuple[str, ...] = ()


def read_config_file(path: Path) -> ConfigFile:
    """Raises NotFound: no such file. Raises InvalidArgument: it is not what its format asks for; the message names line
    and column. Raises Unsupported: it is YAML and PyYAML is not installed."""
    if not path.is_file():
        raise NotFound(f"configuration file {path} does not exist")
    text = _read_text(path)
    if _is_yaml(path, text):
        return ConfigFile(_object(_read_yaml(path, text), path))
    content, warnings = _read_json(path, text)
    return ConfigFile(_object(content, path), warnings)


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from None
    if not text.strip():
        raise InvalidArgument(f"{path} is empty; expected a JSON object")
    return text


def _is_yaml(path: Path, text: str) -> bool:
    if path.suffix in (".yml", ".yaml"):
        return True
    # YAML under another name is read where that can be done; otherwise .json means JSON, with JSON's reasons.
    return not text.lstrip().startswith(("{", "[")) and (path.suffix != ".json" or _yaml_installed())


def _read_json(path: Path, text: str) -> tuple[Any, tuple[str, ...]]:
    found = [match.start() for match in STRING_OR_TRAILING_COMMA.finditer(text) if match["comma"]]
    commas = [position for position in found if not text[:position].rstrip().endswith(("{", "[", ",", ":"))]
    # A blank for each comma keeps every other position as it is in the file.
    without = "".join(" " if position in commas else character for position, character in enumerate(text))
    try:
        content = json.loads(without)
    except json.JSONDecodeError as error:
        raise InvalidArgument(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    return content, tuple(_comma(path, text, position) for position in commas)


def _comma(path: Path, text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"{path}, line {line}, column {column}: a comma before the closing bracket is not JSON; remove it"


def _read_yaml(path: Path, text: str) -> Any:
    if not _yaml_installed():
        raise Unsupported(
            f"{path} is not JSON, and to read YAML PyYAML is missing: write it as JSON, or install pyyaml"
        )
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidArgument(f"{path}: {' '.join(str(error).split())}") from None


def _yaml_installed() -> bool:
    return importlib.util.find_spec("yaml") is not None


def _object(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InvalidArgument(f"{path}: expected an object with keys, got {type(content).__name__}")
    return content
