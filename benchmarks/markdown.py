"""A run as Markdown: every point, won or lost, with what it cost and what disturbed it."""

import math
from collections.abc import Iterable, Sequence

from benchmarks.measurement import Point
from benchmarks.record import Record
from benchmarks.rounds import Series
from benchmarks.summary import Summary, points_of, ratio, summarise

COLUMNS = (
    "server",
    "requests/s",
    "slowest .. fastest round",
    "p50 ms",
    "p99 ms",
    "CPU s / 1,000",
    "client CPU s / 1,000",
    "rows / execution",
    "errors",
    "fixed work ms",
    "other cores",
)


def page(record: Record, against: Sequence[str]) -> str:
    """All of a run. `against`: the contenders whose ratio to all others is shown."""
    lines = [f"# {record.title}", "", *_facts(record), ""]
    for model, kind in dict.fromkeys((point.model, point.kind) for point in points_of(record.series)):
        chosen = [each for each in record.series if (each.point.model, each.point.kind) == (model, kind)]
        lines += [f"## {model}, {kind}", "", *_points(chosen), ""]
        for name in against:
            lines += _ratios(chosen, name)
    if record.raw:
        lines += ["## ONNX Runtime alone, rows/s", "", *_raw(record), ""]
    return "\n".join(lines)


def _facts(record: Record) -> list[str]:
    said = [
        f"- {', '.join(f'{name} {value}' for name, value in part.items())}"
        for part in (record.machine, record.versions)
    ]
    said.append("- " + ", ".join(f"{name} {value}" for name, value in record.options.items()))
    said += [f"- **{name}**: {about}" for name, about in record.about.items()]
    said += [f"- {name} is missing: {reason.strip().splitlines()[-1]}" for name, reason in record.skipped.items()]
    return said + [f"- {note}" for note in record.notes]


def _points(series: Iterable[Series]) -> list[str]:
    rows = [table_row(("load", *COLUMNS)), table_row(["---"] + ["---:" if i else "---" for i in range(len(COLUMNS))])]
    for each in series:
        cells = _cells(summarise(each.rounds)) if each.rounds else [f"not measured: {each.failure[:200]}"]
        rows.append(table_row([load_of(each.point), each.contender, *cells]))
    return rows


def _cells(summary: Summary) -> list[str]:
    return [
        f"{summary.per_second:,.0f}",
        f"{summary.slowest:,.0f} .. {summary.fastest:,.0f}",
        _number(summary.p50_us / 1000),
        _number(summary.p99_us / 1000),
        _number(summary.server_cpu),
        _number(summary.client_cpu),
        "" if summary.mean_batch is None else f"{summary.mean_batch:.1f}",
        str(summary.errors),
        f"{summary.calibration_ms:.1f}",
        f"{summary.other_cores:.2f}",
    ]


def _ratios(series: Sequence[Series], name: str) -> list[str]:
    """How often `name` is as fast as every other one, as the median of neighbouring rounds."""
    others = [other for other in dict.fromkeys(each.contender for each in series) if other != name]
    rows: list[str] = []
    for point in points_of(series):
        at_point = {each.contender: each.rounds for each in series if each.point == point and each.rounds}
        if name not in at_point:
            continue
        for other in others:
            if other in at_point:
                found = ratio(at_point[name], at_point[other])
                numbers = (found.per_second, found.p99, found.server_cpu)
                rows.append(table_row([load_of(point), other, *(_number(number) for number in numbers)]))
    if not rows:
        return []
    head = ("load", f"{name} against", "requests/s", "p99", "CPU s")
    return [table_row(head), table_row(["---", "---", "---:", "---:", "---:"]), *rows, ""]


def _raw(record: Record) -> list[str]:
    lines = [table_row(["model", "threads", "batch: rows/s"]), table_row(["---"] * 3)]
    for model, by_threads in record.raw.items():
        for threads, speeds in by_threads.items():
            lines.append(
                table_row([model, threads, ", ".join(f"{size}: {speed:,.0f}" for size, speed in speeds.items())])
            )
    return lines


def load_of(point: Point) -> str:
    return f"{point.rate:,.0f}/s" if point.rate else str(point.connections)


def table_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("\n", " ").replace("|", "/") for cell in cells) + " |"


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
