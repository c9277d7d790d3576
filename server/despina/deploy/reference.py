"""`NAME[:VERSION]`: how a registered model is named everywhere."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from despina.errors import InvalidArgument, NotFound

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
SHOWN = 10
LONGEST_VERSION = 18
"""Digits: more do not fit the registry."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A name, and a version or None for the newest."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def parse_reference(text: str) -> ModelReference:
    """`densenet_onnx` or `densenet_onnx:1`. Raises InvalidArgument: the name is not allowed, or the version is not an
    integer from 1 up."""
    name, colon, version = text.partition(":")
    check_name(name)
    if not colon:
        return ModelReference(name)
    if not (version.isascii() and version.isdigit() and len(version) <= LONGEST_VERSION and int(version) > 0):
        raise InvalidArgument(f"model {text!r}: expected NAME or NAME:VERSION with a version from 1 up")
    return ModelReference(name, int(version))


def check_name(name: str) -> None:
    """Raises InvalidArgument: `name` is not a model name."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(
            f"model name {name!r} is not allowed: expected 1 to 255 letters, digits, '-', '.' or '_', "
            "beginning with a letter or digit"
        )


def model_not_found(wanted: ModelReference, have: Iterable[ModelReference]) -> NotFound:
    """The error that names what exists: versions of the same name first, then names most like the wanted one."""

    def rank(one: ModelReference) -> tuple[float, str, int]:
        return -SequenceMatcher(None, wanted.name, one.name).ratio(), one.name, -(one.version or 0)

    ranked = sorted(have, key=rank)
    if not ranked:
        return NotFound(f"model {wanted} not found; have none, register one with `despina model register`")
    shown = ", ".join(str(one) for one in ranked[:SHOWN])
    more = f" and {len(ranked) - SHOWN} more" if len(ranked) > SHOWN else ""
    return NotFound(f"model {wanted} not found; have {shown}{more}")
