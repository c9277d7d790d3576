"""What was measured, as Markdown."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from benchmarks.cells import table_row

BARS = {"HTTP": 0.95, "system shared memory": 0.98, "CUDA shared memory": 0.98}
"""The share of the speed in process that each way is meant to reach."""


def markdown(record: Mapping[str, Any]) -> str:
    """A page: the machine, how models were served, and a table with a row per model and way."""
    facts = {**record["machine"], **record["versions"], **record["serving"]}
    lines = ["# GPU", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += ["| model | way | rows/s | in process | share | meant | GPU busy | GPU busy in process | GPU memory MB |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for model, result in record["models"].items():
        # A way that does not work here, as CUDA's shared memory in some containers, leaves the figures of the others.
        lines += _rows(model, result["figures"])
        if "failure" in result:
            lines.append(table_row([model, f"failed: {result['failure'][:300]}", *[""] * 7]))
    return "\n".join([*lines, ""])


def _rows(model: str, figures: list[Mapping[str, Any]]) -> Iterable[str]:
    for way in dict.fromkeys(figure["way"] for figure in figures):
        served = [figure for figure in figures if figure["way"] == way and figure["served"]]
        raw = [figure for figure in figures if figure["way"] == way and not figure["served"]]
        speed, limit = (median(figure["rows_per_second"] for figure in each) for each in (served, raw))
        # Of neighbouring rounds: the machine's speed drifts.
        neighbours = zip(served, raw, strict=True)
        share = median(one["rows_per_second"] / other["rows_per_second"] for one, other in neighbours)
        meant = BARS.get(way)
        verdict = "" if meant is None else f"{meant:.2f} {'kept' if share >= meant else 'missed'}"
        cells = [model, way, f"{speed:.0f}", f"{limit:.0f}", f"{share:.3f}", verdict, _busy(served), _busy(raw)]
        cells.append(_memory(served))
        yield table_row(cells)


def _busy(figures: list[Mapping[str, Any]]) -> str:
    told = [f["gpu"]["utilisation"] for f in figures if f["gpu"] and f["gpu"]["utilisation"] is not None]
    return f"{median(told):.0f}%" if told else "not told"


def _memory(figures: list[Mapping[str, Any]]) -> str:
    """The most of all rounds: of the server, and of the session in process beside it."""
    told = [f["gpu"]["memory_mb"] for f in figures if f["gpu"] and f["gpu"]["memory_mb"] is not None]
    return f"{max(told):.0f}" if told else "not told"
