"""A run as JSON, and back: what is committed, and what tables and plots are made from."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.gpu import GpuUse
from benchmarks.latencies import Latencies
from benchmarks.measurement import Load, Point, Round
from benchmarks.rounds import Series


@dataclass(frozen=True, slots=True)
class Record:
    """One run of the harness. `about` says what each contender was, `skipped` why some are missing, `notes` what else
    must be known to read the numbers. `row_bytes`: bytes of the input tensors of one row, by model. `against`: the
    contenders whose ratio to all others is shown. `layout`: a section for each model and form of request, or a line for
    each point, where there are many of them and few loads."""

    title: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    options: Mapping[str, Any]
    about: Mapping[str, str]
    skipped: Mapping[str, str]
    series: tuple[Series, ...]
    notes: tuple[str, ...] = ()
    row_bytes: Mapping[str, int] = field(default_factory=dict)
    against: tuple[str, ...] = ()
    layout: Literal["sections", "lines"] = "sections"


class NotARecord(Exception):
    """Results that are not there, or none of a run, or of a version of the harness that wrote others."""


def write(record: Record, path: Path) -> None:
    write_whole(path, to_json(record))


def write_whole(path: Path, text: str) -> None:
    """What was there stays until all is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.new")
    partial.write_text(text)
    partial.replace(path)


def to_json(record: Record) -> str:
    told = {**asdict(record), "series": None}
    series = [json.dumps(_rounded(asdict(each)), allow_nan=False) for each in record.series]
    # A line per series keeps the file readable and its differences small.
    text = json.dumps(_rounded(told), indent=1, allow_nan=False)
    return text.replace('"series": null', '"series": [\n  ' + ",\n  ".join(series) + "\n ]", 1) + "\n"


def is_record(path: Path) -> bool:
    """Whether a file of results holds a run; some commands write tables of their own. A damaged one counts, so that
    `read` says what is wrong with it."""
    try:
        return "series" in json.loads(path.read_text())
    except (ValueError, TypeError):
        return True


def read(path: Path) -> Record:
    """Raises NotARecord."""
    try:
        return from_json(path.read_text())
    except OSError as error:
        raise NotARecord(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise NotARecord(f"{path} holds no run that this version of the harness can read: {error!r}") from None


def from_json(text: str) -> Record:
    """What `to_json` wrote."""
    told = json.loads(text)
    series = tuple(_series(each) for each in told.pop("series"))
    # Older files do not say it, and begin with the one.
    against = tuple(told.pop("against", [each.contender for each in series[:1]]))
    return Record(**{**told, "notes": tuple(told.get("notes", ())), "series": series, "against": against})


def _series(told: dict[str, Any]) -> Series:
    return Series(
        told["contender"], Point(**told["point"]), tuple(_round(each) for each in told["rounds"]), told["failure"]
    )


def _round(told: dict[str, Any]) -> Round:
    load = told.pop("load")
    latencies = {name: math.nan if value is None else value for name, value in load.pop("latencies").items()}
    sizes = told.pop("batch_sizes")
    gpu = told.pop("gpu", None)
    return Round(
        Load(**load, latencies=Latencies(**latencies)),
        **told,
        batch_sizes=None if sizes is None else {int(size): count for size, count in sizes.items()},
        gpu=None if gpu is None else GpuUse(**gpu),
    )


def _rounded(value: Any) -> Any:
    """Five digits are more than was measured; NaN is null."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
