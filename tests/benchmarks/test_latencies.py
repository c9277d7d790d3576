import math

import pytest
from benchmarks.latencies import from_histogram, quantile


@pytest.mark.parametrize(("q", "microseconds"), [(0.5, 1.0), (0.75, 2.0), (0.76, 9.0), (1.0, 9.0)])
def test_quantile_is_the_bucket_in_which_the_fraction_is_reached(q: float, microseconds: float) -> None:
    assert quantile({9000: 1, 1000: 2, 2000: 1}, q) == microseconds


def test_nothing_answered_has_no_latency() -> None:
    assert math.isnan(from_histogram({}).p99)
