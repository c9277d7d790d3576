"""Metric families and how to fill them.

`prometheus_client` has a class per type, but its counters insist on `_total`; so a family is a plain `Metric` here, and
these functions add the samples in the order and with the label order tritonserver prints.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from prometheus_client import Metric

from despina.telemetry.exposition import format_value

Labels = dict[str, str]
Source = TypeVar("Source")


@dataclass(frozen=True, slots=True)
class Family:
    """Name, HELP text and type of a family."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "summary", "histogram"]

    def metric(self) -> Metric:
        return Metric(self.name, self.help, self.kind)


def filled(family: Family, sources: Iterable[tuple[Labels, Source]], read: Callable[[Source], float | None]) -> Metric:
    """One sample per source, of the value `read` finds there; none where it is None."""
    metric = family.metric()
    for labels, source in sources:
        value = read(source)
        if value is not None:
            metric.add_sample(family.name, labels, value)
    return metric


def add_parts(metric: Metric, labels: Labels, name: str, parts: Mapping[str, float]) -> None:
    """One sample per part, which is the value of one more label, `name`; labels sorted by name."""
    for part, value in parts.items():
        metric.add_sample(metric.name, dict(sorted({**labels, name: part}.items())), value)


def add_summary(metric: Metric, labels: Labels, count: int, total: float, quantiles: Mapping[float, float]) -> None:
    metric.add_sample(f"{metric.name}_count", labels, count)
    metric.add_sample(f"{metric.name}_sum", labels, total)
    for quantile, value in quantiles.items():
        metric.add_sample(metric.name, {**labels, "quantile": format_value(quantile)}, value)


def add_histogram(metric: Metric, labels: Labels, bounds: Sequence[float], counts: Sequence[int], total: float) -> None:
    """`counts` holds one more element than `bounds`, for what lies above the last bound; they are not cumulative."""
    below = 0
    metric.add_sample(f"{metric.name}_count", labels, sum(counts))
    metric.add_sample(f"{metric.name}_sum", labels, total)
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        below += count
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": format_value(bound)}, below)
