"""From text to `ModelConfig`: config.pbtxt, and the JSON of a load request's override (config §1.4, §2.4, §2.5)."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format  # type: ignore[import-untyped]  # ships no types

from despina.config.proto import Field, Message, ModelConfig
from despina.errors import Internal, InvalidArgument

# Any: protobuf's own types know nothing of the message class built at run time.
_json_format: Any = json_format
_text_format: Any = text_format
_log = logging.getLogger(__name__)


def config_path(directory: Path, config_name: str = "") -> Path | None:
    """The file that configures the model in `directory`, or None when there is none.

    With `config_name` (`--model-config-name`) `configs/<config_name>.pbtxt` comes first.
    """
    named = directory / "configs" / f"{config_name}.pbtxt"
    if config_name and named.is_file():
        return named
    plain = directory / "config.pbtxt"
    return plain if plain.is_file() else None


def read_model_config(directory: Path, config_name: str = "", *, required: bool = False) -> ModelConfig:
    """The configuration as written for the model in `directory`; an empty one when there is no file.

    Raises Internal when the file cannot be read or parsed, or is missing although `required` (auto-complete is off).
    """
    path = config_path(directory, config_name)
    if path is not None:
        return read_config(path)
    if required:
        return read_config(directory / "config.pbtxt")
    return ModelConfig()


def read_config(path: Path) -> ModelConfig:
    """Parse a text-format file. Raises Internal; why the text is wrong, and where, is logged only."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Internal(f"failed to open text file for read {path}: {error.strerror}") from error
    try:
        return parse_text(text)
    except ValueError as error:
        _log.error("%s:%s", path, error)
        raise Internal(f"failed to read text proto from {path}") from error


def parse_text(text: str | bytes) -> ModelConfig:
    """Parse the text format. Raises ValueError with line, column and reason."""
    config = ModelConfig()
    if isinstance(text, bytes):
        text = _decode(text)  # the parser would do it, but says nothing when it cannot
    try:
        _text_format.Parse(text, config)
    except (_text_format.ParseError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return config


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        raise ValueError(f"{line}:{column} : expected UTF-8, found byte 0x{text[error.start]:02x}") from None


def parse_json(text: str) -> ModelConfig:
    """Parse the `config` parameter of a load request. Raises InvalidArgument.

    Fields may be spelt in snake_case or camelCase, integers and booleans as strings, enum names in any case, and a
    repeated field that has one value as that value.
    """
    config = ModelConfig()
    try:
        value = json.loads(text, object_pairs_hook=_fields)
        if not isinstance(value, dict):
            raise InvalidArgument("Invalid config override: the configuration must be a JSON object")
        _json_format.ParseDict(_as_in_cpp(value, config.DESCRIPTOR), config)
    except (_json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidArgument(f"Invalid config override: {error}") from error
    return config


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if odd := [name for name in result if not name.isascii() and name != name.encode(errors="ignore").decode()]:
        # protobuf would raise a SystemError.
        raise ValueError(f"the name of field {odd[0]!a} is no UTF-8")
    if len(result) != len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name in times if times[name] > 1)
        raise ValueError(f"field '{twice}' is given twice")
    return result


def _as_in_cpp(value: dict[str, Any], message: Message) -> dict[str, Any]:
    """A copy in which Python's parser reads what protobuf's C++ parser would. Raises ValueError."""
    fields = {name: field for field in message.fields for name in (field.name, field.json_name)}
    return {key: _field(item, fields[key]) if key in fields else item for key, item in value.items()}


def _field(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if not field.is_repeated:
        return _single(value, field)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name["value"]
        return {key: _field(item, entry) for key, item in value.items()} if isinstance(value, dict) else value
    return [_single(item, field) for item in _flat(value)]


def _flat(value: Any) -> list[Any]:
    return [each for item in value for each in _flat(item)] if isinstance(value, list) else [value]


def _single(value: Any, field: Field) -> Any:
    if field.message_type is not None:
        if not isinstance(value, dict):
            raise ValueError(f"field '{field.name}' must be an object, got {json.dumps(value)[:80]}")
        return _as_in_cpp(value, field.message_type)
    if field.enum_type is not None:
        if isinstance(value, bool):  # a number for Python
            raise ValueError(f"field '{field.name}' must be a name or a number, got {json.dumps(value)}")
        return value.upper() if isinstance(value, str) else value
    if field.type == field.TYPE_BOOL and value in ("true", "false"):
        return value == "true"
    return value
