"""Plots of a run: latency against throughput, and how large the batches were."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib  # type: ignore[import-not-found]

from benchmarks.cells import load_of
from benchmarks.measurement import Point
from benchmarks.record import Record
from benchmarks.rounds import Series
from benchmarks.summary import points_of, row_shares, summarise


def plot(record: Record, path: Path) -> None:
    """One column per model and form of request: p50 and p99 against throughput above, batch sizes below."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = list(dict.fromkeys((point.model, point.kind) for point in points_of(record.series)))
    figure, axes = pyplot.subplots(2, len(groups), figsize=(8 * len(groups), 9), squeeze=False)
    # A contender has the same colour everywhere.
    colours = {name: f"C{number}" for number, name in enumerate(dict.fromkeys(s.contender for s in record.series))}
    for column, (model, kind) in enumerate(groups):
        measured = [each for each in record.series if each.rounds]
        series = [each for each in measured if (each.point.model, each.point.kind) == (model, kind)]
        axes[0][column].set_title(f"{model}, {kind}")
        _latencies(axes[0][column], series, colours)
        _batches(axes[1][column], series)
    figure.suptitle(record.title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _latencies(axis: Any, series: list[Series], colours: Mapping[str, str]) -> None:
    """Throughput to the right, milliseconds up; every dot is a load."""
    for name in dict.fromkeys(each.contender for each in series):
        own = [summarise(each.rounds) for each in series if each.contender == name]
        if own[0].p99_us == own[0].p99_us:
            speeds = [each.per_second for each in own]
            axis.plot(speeds, [each.p99_us / 1000 for each in own], f"{colours[name]}o-", label=f"{name}, p99")
            axis.plot(speeds, [each.p50_us / 1000 for each in own], f"{colours[name]}.:", label=f"{name}, p50")
        else:
            best = max(each.per_second for each in own)
            axis.axvline(best, color=colours[name], linestyle="--", label=f"{name}, at best")
    axis.set(xlabel="requests/s", ylabel="ms", yscale="log")
    axis.grid(alpha=0.3)
    _legend(axis)


def _batches(axis: Any, series: list[Series]) -> None:
    """The share of rows that ran in batches up to a size, of the first contender that counts them."""
    counted = [each for each in series if any(one.batch_sizes for one in each.rounds)]
    if not counted:
        axis.axis("off")
        return
    name = counted[0].contender
    for each in counted:
        if each.contender == name:
            sizes, shares = row_shares(each)
            axis.step(sizes, shares, where="post", label=_load(each.point))
    axis.set(xlabel=f"batch size, {name}", ylabel="share of rows in batches up to it", ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    _legend(axis)


def _legend(axis: Any) -> None:
    """Beside the axes, where it hides nothing."""
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _load(point: Point) -> str:
    return load_of(point) if point.rate else f"{load_of(point)} connections"
