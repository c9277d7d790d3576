"""Shape buckets as a configuration asks for them, in `parameters` (Despina's own; see docs/scheduling.md).

shape_bucket.<input>               pad=<value>;sizes=<ascending sizes>[;axis=<index in dims>]
shape_bucket.<input>.length_input  an input of the model, not of the configuration, that gets the lengths
shape_bucket.<input>.mask_input    likewise, that gets 1 for values and 0 for padding
shape_bucket.<input>.outputs       the outputs that are as long as the input
"""

from dataclasses import dataclass

from despina.config.proto import Message, ModelConfig
from despina.errors import InvalidArgument

PREFIX = "shape_bucket."
SUFFIXES = ("length_input", "mask_input", "outputs")


@dataclass(frozen=True, slots=True)
class BucketSetting:
    """The bucket of one input. `axis` indexes the dims of the configuration and is the variable one; `outputs` is None
    when the configuration leaves them to be found."""

    input: str
    pad: str
    sizes: tuple[int, ...]
    axis: int
    length_input: str = ""
    mask_input: str = ""
    outputs: tuple[str, ...] | None = None


def read_shape_buckets(config: ModelConfig) -> tuple[BucketSetting, ...]:
    """In the order of the inputs. Raises InvalidArgument."""
    given = {
        key.removeprefix(PREFIX): value.string_value
        for key, value in config.parameters.items()
        if key.startswith(PREFIX)
    }
    buckets = [_bucket(config, item, given) for item in config.input if item.name in given]
    _refuse_unknown(config, given)
    return tuple(buckets)


def built_inputs(config: ModelConfig) -> set[str]:
    """Inputs of the model that clients do not send, because the server makes them."""
    names: set[str] = set()
    for key, value in config.parameters.items():
        if key.startswith(PREFIX) and key.endswith((".length_input", ".mask_input")):
            names.add(value.string_value)
    return names


def _bucket(config: ModelConfig, item: Message, given: dict[str, str]) -> BucketSetting:
    name: str = item.name
    settings = _settings(config, name, given[name])
    if item.HasField("reshape") or item.allow_ragged_batch:
        raise _wrong(config, name, "the input must have neither reshape nor allow_ragged_batch")
    outputs = given.get(f"{name}.outputs")
    return BucketSetting(
        name,
        settings.get("pad", "0"),
        _sizes(config, name, settings.get("sizes", "")),
        _axis(config, name, tuple(item.dims), settings.get("axis", "")),
        given.get(f"{name}.length_input", ""),
        given.get(f"{name}.mask_input", ""),
        None if outputs is None else tuple(part.strip() for part in outputs.split(",") if part.strip()),
    )


def _settings(config: ModelConfig, name: str, text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    for part in text.split(";"):
        key, _, value = part.partition("=")
        if part.strip() and key.strip() not in ("pad", "sizes", "axis"):
            raise _wrong(config, name, f"expected pad=<value>;sizes=<sizes>, got '{part.strip()}'")
        settings[key.strip()] = value.strip()
    return settings


def _sizes(config: ModelConfig, name: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    sizes = [int(part) for part in parts if part.isdecimal()]
    if len(sizes) != len(parts) or sizes != sorted(set(sizes)) or sizes[0] < 1:
        raise _wrong(config, name, f"expected sizes as ascending positive integers, got '{text}'")
    return tuple(sizes)


def _axis(config: ModelConfig, name: str, dims: tuple[int, ...], text: str) -> int:
    variable = [index for index, dim in enumerate(dims) if dim == -1]
    if text.isdecimal() and int(text) in variable:
        return int(text)
    if text or len(variable) != 1:
        got = f"axis={text}" if text else "no axis"
        raise _wrong(config, name, f"expected axis=<index of a dim that is -1> for dims {list(dims)}, got {got}")
    return variable[0]


def _refuse_unknown(config: ModelConfig, given: dict[str, str]) -> None:
    inputs = {item.name for item in config.input}
    for key in given:
        name, _, suffix = key.rpartition(".")
        if key in inputs:
            continue
        if suffix not in SUFFIXES or name not in inputs:
            raise InvalidArgument(
                f"model '{config.name}': parameter '{PREFIX}{key}' names no input of the configuration, which has "
                f"{', '.join(sorted(inputs))}"
            )
        if name not in given:
            raise InvalidArgument(f"model '{config.name}': parameter '{PREFIX}{key}' needs '{PREFIX}{name}'")


def _wrong(config: ModelConfig, name: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"model '{config.name}': parameter '{PREFIX}{name}': {reason}")
