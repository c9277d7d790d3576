import math
import tracemalloc

import pytest

from despina.telemetry.recent_latencies import LIMIT, WINDOW_NS, Window


def test_quantiles_are_observed_values_of_the_nearest_rank() -> None:
    window = Window(clock=lambda: 0)
    for ns in (50, 10, 40, 20, 30):
        window.observe(ns)
    assert window.quantiles((0, 0.2, 0.5, 0.9, 0.999, 1)) == [10, 10, 30, 50, 50, 50]


def test_an_observation_counts_as_often_as_it_is_said_to() -> None:
    window = Window(clock=lambda: 0)
    window.observe(1)
    window.observe(9, times=3)
    assert window.quantiles((0.25, 0.5)) == [1, 9]


def test_observations_older_than_the_window_are_forgotten() -> None:
    now = [0]
    window = Window(clock=lambda: now[0])
    window.observe(1000)
    now[0] = WINDOW_NS
    window.observe(5)
    assert window.quantiles((0.99,)) == [1000]
    now[0] = WINDOW_NS + 1
    assert window.quantiles((0.99,)) == [5]


def test_quantiles_of_nothing_are_not_numbers() -> None:
    assert all(math.isnan(value) for value in Window(clock=lambda: 0).quantiles((0.5, 0.9)))


def test_memory_is_bounded_to_the_latest_observations() -> None:
    window = Window(clock=lambda: 0)
    window.observe(1_000_000, times=LIMIT)
    window.observe(1, times=LIMIT)
    assert window.quantiles((0.999,)) == pytest.approx([1])


def test_full_windows_take_sixteen_bytes_per_observation() -> None:
    window = Window()
    tracemalloc.start()
    try:
        for number in range(LIMIT + 10):
            window.observe(1_000_000 + number)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 20 * LIMIT
