"""Rows and cells of tables in Markdown."""

import math
from collections.abc import Iterable

from benchmarks.measurement import Point
from benchmarks.summary import Summary


def table_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("\n", " ").replace("|", "/") for cell in cells) + " |"


def load_of(point: Point) -> str:
    return f"{point.rate:,.0f}/s" if point.rate else str(point.connections)


def number(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def errors_of(summary: Summary) -> str:
    return f"{summary.errors} ({summary.resent} sent again)" if summary.resent else str(summary.errors)
