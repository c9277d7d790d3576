"""Metrics as text, the way tritonserver prints them.

`prometheus_client.generate_latest` follows OpenMetrics: it appends `_total` to the names of counters and prints 1 as
`1.0`. Tritonserver's counters have no suffix, and names are what dashboards are made of, so the text is written here,
from the same `Metric` objects. Families without a sample are left out; QA scripts look for their absence.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import isinf, isnan

from prometheus_client import Metric

CONTENT_TYPE = "text/plain; charset=utf-8"


def generate(families: Iterable[Metric]) -> str:
    """Prometheus text format 0.0.4; labels in the order the samples hold them."""
    return "".join(_family(family) for family in families if family.samples)


def _family(family: Metric) -> str:
    lines = [f"# HELP {family.name} {_escape_help(family.documentation)}\n# TYPE {family.name} {family.type}\n"]
    lines += [f"{sample.name}{_labels(sample.labels)} {format_value(sample.value)}\n" for sample in family.samples]
    return "".join(lines)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(map(_label, labels, labels.values())) + "}"


@lru_cache(maxsize=4096)
def _label(name: str, value: str) -> str:
    """Remembered, because every family has those of the same models and buckets."""
    return f'{name}="{_escape_value(value)}"'


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape_help(text).replace('"', '\\"')


def format_value(value: float) -> str:
    """Sixteen significant digits, no trailing zeros: `1`, `0.25`, `25276514304`, `1e+17`."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.16g}"
