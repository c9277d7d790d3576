"""A histogram of latencies: what the load generator counts, and the quantiles read from it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Latencies:
    """Number of requests by the upper end of their bucket, in nanoseconds."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def quantile(self, q: float) -> float:
        """Microseconds within which the fraction `q` of the requests was answered; NaN when there was none."""
        wanted = q * self.total
        passed = 0
        for top in sorted(self.counts):
            passed += self.counts[top]
            if passed >= wanted:
                return top / 1000
        return float("nan")


def merged(parts: Iterable[Latencies]) -> Latencies:
    """All requests of several histograms."""
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Latencies(dict(counts))
