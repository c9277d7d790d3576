"""The four trace settings a client may change, and their texts (protocol §1.14)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from despina.errors import InvalidArgument

TIMESTAMPS = "TIMESTAMPS"
TENSORS = "TENSORS"
LEVELS = (TIMESTAMPS, TENSORS)
OFF = "OFF"

FILE_IS_FIXED = "trace file location can not be updated through network protocol"

_UNSIGNED_MAX = (1 << 32) - 1
_SIGNED_MAX = (1 << 31) - 1
_INTEGER = re.compile(r"\s*([+-]?\d+)")

Changes = Mapping[str, Any]
"""Field of TraceValues → its new value, None for "inherit again"."""


@dataclass(frozen=True, slots=True)
class TraceValues:
    """`levels` in the order of LEVELS, empty for OFF; one request in `rate` is traced, `count` more of them (-1: no
    limit); `log_frequency` traces go into one numbered file (0: all into one file)."""

    levels: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0


def as_levels(names: Iterable[str], count: int) -> tuple[str, ...]:
    """Unknown ones of the `count` names are ignored. Raises InvalidArgument when OFF is not alone; what comes after it
    is not read then."""
    wanted = _wanted(names, count)
    return tuple(level for level in LEVELS if level in wanted)


def change_of_levels(names: Iterable[str], count: int) -> Changes:
    """What a request for these levels changes: nothing where none of them is known. Raises as `as_levels`."""
    wanted = _wanted(names, count)
    levels = tuple(level for level in LEVELS if level in wanted)
    return {"levels": levels} if levels or OFF in wanted else {}


def _wanted(names: Iterable[str], count: int) -> set[str]:
    wanted: set[str] = set()
    for name in names:
        if name == OFF and count > 1:
            raise InvalidArgument("Expect only one trace level 'OFF' is specified")
        wanted.add(name)
    return wanted


def as_natural(setting: str, text: str) -> int:
    """An unsigned number as a client writes it; -1 is the largest one, as it is for tritonserver."""
    return _as_integer(setting, text, f"[ 0, {_UNSIGNED_MAX} ]") & _UNSIGNED_MAX


def as_count(text: str, got: str = "got:") -> int:
    """How many requests are still to be traced, -1 for any number. `got` is what a complaint says before the text."""
    count = _as_integer("trace_count", text, f"[ -1, {_SIGNED_MAX} ]")
    if count < -1:
        raise InvalidArgument(f"Unable to parse 'trace_count'. Expecting value >= -1, {got}{text}")
    return count


def _as_integer(setting: str, text: str, bounds: str) -> int:
    """The number a text starts with, as C reads it. Raises InvalidArgument when there is none or beyond 32 bits."""
    match = _INTEGER.match(text)
    if match is None:
        raise InvalidArgument(f"Unable to parse '{setting}', got: {text}")
    value = int(match.group(1)) if len(match.group(1)) < 32 else 1 << 32
    if not -_SIGNED_MAX - 1 <= value <= _SIGNED_MAX:
        raise InvalidArgument(f"Unable to parse '{setting}', value is out of range {bounds}, got: {text}")
    return value


def render(values: TraceValues) -> dict[str, Any]:
    """The settings as a client sees them: numbers are texts."""
    return {
        "trace_level": list(values.levels) or [OFF],
        "trace_rate": str(values.rate),
        "trace_count": str(values.count),
        "log_frequency": str(values.log_frequency),
    }
