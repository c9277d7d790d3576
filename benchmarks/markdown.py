"""A run as Markdown: every point, won or lost, with what it cost and what disturbed it."""

from collections.abc import Sequence

from benchmarks import line_table
from benchmarks.cells import errors_of, load_of, number, table_row
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
    "of which first process",
    "client CPU s / 1,000",
    "rows / execution",
    "errors",
    "fixed work ms",
    "other cores",
)
GPU_COLUMNS = ("GPU busy", "GPU memory MB")
LARGE_ROW = 16 * 1024
"""From so many bytes per row on, bytes per second are shown too."""


def page(record: Record) -> str:
    """All of a run."""
    lines = [f"# {record.title}", "", *_facts(record), ""]
    if record.layout == "lines":
        return "\n".join([*lines, *line_table.table(record.series, record.against[:1], tuple(record.about)), ""])
    for model, kind in dict.fromkeys((point.model, point.kind) for point in points_of(record.series)):
        chosen = [each for each in record.series if (each.point.model, each.point.kind) == (model, kind)]
        lines += [f"## {model}, {kind}", "", *_points(record, chosen), ""]
        for name in record.against:
            lines += _ratios(chosen, name)
    return "\n".join(lines)


def _facts(record: Record) -> list[str]:
    said = [
        f"- {', '.join(f'{name} {value}' for name, value in part.items())}"
        for part in (record.machine, record.versions)
    ]
    said.append("- " + ", ".join(f"{name} {value}" for name, value in record.options.items()))
    said.append(f"- others kept at most {disturbance(record):.2f} cores busy during a round")
    said += [f"- **{name}**: {about}" for name, about in record.about.items()]
    said += [f"- {name} is missing: {reason.strip().splitlines()[-1]}" for name, reason in record.skipped.items()]
    return said + [f"- {note}" for note in record.notes]


def disturbance(record: Record) -> float:
    """The cores that others kept busy in the round that they disturbed most; tables have medians of rounds."""
    return max((each.other_cores for series in record.series for each in series.rounds), default=0.0)


def _points(record: Record, series: Sequence[Series]) -> list[str]:
    # Most machines have no GPU, and their tables no columns for one.
    watched = any(one.gpu is not None for each in series for one in each.rounds)
    heads = (*COLUMNS, *GPU_COLUMNS) if watched else COLUMNS
    rows = [table_row(("load", *heads)), table_row(["---"] + ["---:" if i else "---" for i in range(len(heads))])]
    for each in series:
        cells = _cells(summarise(each.rounds)) if each.rounds else [f"not measured: {each.failure[:200]}"]
        if watched and each.rounds:
            cells += _gpu_cells(summarise(each.rounds))
        row_bytes = record.row_bytes.get(each.point.model, 0)
        if row_bytes >= LARGE_ROW and each.rounds:
            cells[0] += f" ({summarise(each.rounds).per_second * row_bytes / 1e9:.2f} GB/s)"
        rows.append(table_row([load_of(each.point), each.contender, *cells]))
    return rows


def _cells(summary: Summary) -> list[str]:
    return [
        f"{summary.per_second:,.0f}",
        f"{summary.slowest:,.0f} .. {summary.fastest:,.0f}",
        number(summary.p50_us / 1000),
        number(summary.p99_us / 1000),
        number(summary.server_cpu),
        "" if summary.first_cpu is None else number(summary.first_cpu),
        number(summary.client_cpu),
        "" if summary.mean_batch is None else f"{summary.mean_batch:.1f}",
        errors_of(summary),
        f"{summary.calibration_ms:.1f}",
        f"{summary.other_cores:.2f}",
    ]


def _gpu_cells(summary: Summary) -> list[str]:
    return [
        "" if summary.gpu_busy is None else f"{summary.gpu_busy:.0f} %",
        "" if summary.gpu_memory_mb is None else f"{summary.gpu_memory_mb:.0f}",
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
                rows.append(table_row([load_of(point), other, *(number(each) for each in numbers)]))
    if not rows:
        return []
    head = ("load", f"{name} against", "requests/s", "p99", "CPU s")
    return [table_row(head), table_row(["---", "---", "---:", "---:", "---:"]), *rows, ""]


def short_table(record: Record) -> list[str]:
    """A row per contender: requests per second by kind and load, and the CPU seconds at the middle load."""
    points = points_of(record.series)
    kinds = list(dict.fromkeys(point.kind for point in points))
    loads = list(dict.fromkeys((point.connections, point.rate) for point in points))
    middle = loads[len(loads) // 2]
    found = {(each.contender, each.point): summarise(each.rounds) for each in record.series if each.rounds}
    shown = " / ".join(load_of(point) for point in points if point.kind == kinds[0])
    heads = [f"{kind}, {shown} connections" for kind in kinds]
    rows = [table_row(["server", *heads, f"CPU s / 1,000 at {middle[0]}"]), table_row(["---"] * (len(kinds) + 2))]
    for name in record.about:
        cells: list[str] = []
        costs: list[str] = []
        for kind in kinds:
            own = [found.get((name, point)) for point in points if point.kind == kind]
            cells.append(" / ".join("-" if each is None else _thousands(each.per_second) for each in own))
            at_middle = own[len(loads) // 2]
            costs.append("-" if at_middle is None else number(at_middle.server_cpu))
        rows.append(table_row([name, *cells, " / ".join(costs)]))
    return rows


def _thousands(value: float) -> str:
    return f"{value / 1000:.1f}k"
