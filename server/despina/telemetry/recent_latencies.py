"""The latest observations of a duration, for the quantiles of summaries.

A summary tells what requests took lately. Tritonserver estimates the quantiles of the last minute with a stream sketch;
here the observations themselves are kept, at most LIMIT of them, and sorted when somebody looks. As bare numbers they
take an eighth of what objects would, for a busy model 0.6 MB instead of 5. The quantiles are exact (nearest rank, so
the allowed error of `summary_quantiles` is met whatever it is), and memory is bounded: above LIMIT / 60 observations
per second the window is simply shorter than a minute.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, nan

WINDOW_NS = 60_000_000_000
LIMIT = 8192

Clock = Callable[[], int]


class Window:
    """One duration's observations of the last minute; `clock` counts nanoseconds."""

    __slots__ = ("_at", "_clock", "_next", "_observed")

    def __init__(self, clock: Clock = time.monotonic_ns) -> None:
        self._clock = clock
        self._at = array("q")
        self._observed = array("q")
        self._next = 0

    def observe(self, ns: int, times: int = 1) -> None:
        now = self._clock()
        for _ in range(times):
            if self._next < len(self._observed):
                self._at[self._next] = now
                self._observed[self._next] = ns
            else:
                self._at.append(now)
                self._observed.append(ns)
            self._next = (self._next + 1) % LIMIT

    def quantiles(self, quantiles: Sequence[float]) -> list[float]:
        """One value in nanoseconds for each of `quantiles` (each in [0, 1]); NaN where nothing was observed."""
        oldest = self._clock() - WINDOW_NS
        values = sorted(ns for at, ns in zip(self._at[:], self._observed[:], strict=False) if at >= oldest)
        if not values:
            return [nan] * len(quantiles)
        return [float(values[max(0, ceil(quantile * len(values)) - 1)]) for quantile in quantiles]


@dataclass(slots=True)
class RecentLatencies:
    """The windows of one model version, one per summary family."""

    request: Window = field(default_factory=Window)
    queue: Window = field(default_factory=Window)
    compute_input: Window = field(default_factory=Window)
    compute_infer: Window = field(default_factory=Window)
    compute_output: Window = field(default_factory=Window)
    cache_hit: Window = field(default_factory=Window)
    cache_miss: Window = field(default_factory=Window)
