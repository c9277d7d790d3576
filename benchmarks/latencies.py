"""Latencies as the load generator counts them, and the quantiles that are kept of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latencies:
    """Microseconds. All NaN where nothing was answered or latencies mean nothing."""

    p50: float = math.nan
    p90: float = math.nan
    p99: float = math.nan
    p999: float = math.nan
    longest: float = math.nan


def from_histogram(counts: Mapping[int, int]) -> Latencies:
    """`counts`: number of requests by the upper end of their bucket in nanoseconds."""
    return Latencies(*(quantile(counts, q) for q in (0.5, 0.9, 0.99, 0.999, 1.0)))


def quantile(counts: Mapping[int, int], q: float) -> float:
    """Microseconds within which the fraction `q` of the requests was answered; NaN when there was none."""
    wanted = q * sum(counts.values())
    passed = 0
    for top in sorted(counts):
        passed += counts[top]
        if passed >= wanted:
            return top / 1000
    return math.nan
