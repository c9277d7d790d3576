"""Wheels in a folder, whole or in the parts that `split` makes of them."""

import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_box.problem import Problem

_PART = re.compile(r"(?P<wheel>.+\.whl)\.?(?P<number>[a-z]{2,}|\d{2,})$")


def wheels_in(folder: Path, joined: Path) -> list[Path]:
    """Every wheel in `folder`, sorted by name; parts are put together in `joined`. Raises Problem when there is none,
    a part is missing, or one is no wheel."""
    if not folder.is_dir():
        raise Problem(f"{folder} is not a folder: give the one with the wheel of onnxruntime-gpu, whole or in parts")
    whole = sorted(folder.glob("*.whl"))
    parts = parts_in(folder)
    if not whole and not parts:
        raise Problem(f"{folder} holds no wheel (*.whl) and no parts of one (*.whl.aa, *.whl.ab, ...)")
    names = {path.name for path in whole}
    found = whole + [join(parts[name], joined / name) for name in sorted(parts) if name not in names]
    for path in found:
        if not zipfile.is_zipfile(path):
            raise Problem(f"{path.name} is not a complete wheel: a part is missing or was cut off")
    return sorted(found, key=lambda path: path.name)


def parts_in(folder: Path) -> dict[str, list[Path]]:
    """The parts of each wheel, in order. Raises Problem where the sequence has a gap."""
    parts: dict[str, list[tuple[str, Path]]] = {}
    for path in sorted(folder.iterdir()):
        if (match := _PART.fullmatch(path.name)) and path.is_file():
            parts.setdefault(match["wheel"], []).append((match["number"], path))
    for name, numbered in parts.items():
        _check_sequence(name, [number for number, _path in numbered])
    return {name: [path for _number, path in numbered] for name, numbered in parts.items()}


def _check_sequence(name: str, numbers: Sequence[str]) -> None:
    found = [_ordinal(number) for number in numbers]
    missing = sorted(set(range(max(found) + 1)) - set(found))
    if missing:
        raise Problem(f"{name}: parts number {', '.join(str(each + 1) for each in missing)} are missing")


def _ordinal(number: str) -> int:
    """aa 0, ab 1, ...; 00 0, 01 1, ..."""
    if number.isdigit():
        return int(number)
    value = 0
    for letter in number:
        value = 26 * value + ord(letter) - ord("a")
    return value


def join(parts: Sequence[Path], target: Path) -> Path:
    """Put the parts together, unless that was done before."""
    if target.exists() and target.stat().st_size == sum(part.stat().st_size for part in parts):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out, 1 << 20)
    return target
