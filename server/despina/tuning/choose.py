"""From measured times to the configuration with the highest throughput that keeps the SLO.

The latency that counts is that of a request which just missed a batch: it waits until that batch is done, and then for
its own, so twice the time of a batch, of which the slow end is taken. On top comes the queue delay. Waiting for more
requests saves at most the fixed cost of a batch, so the delay never exceeds that, nor what is left under the SLO.
Where the configuration allows larger batches than the chosen ones there is no delay at all: the dynamic batcher keeps
to a preferred size only as long as nobody has waited for longer than the delay, and then takes whatever is queued.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from despina.config.proto import ModelConfig, copy_of
from despina.tuning.curve import Line
from despina.tuning.measure import Arrangement, Timing

THREADS = "intra_op_thread_count"
SAME_THROUGHPUT = 0.03
"""Differences below this are noise; then the smaller batch and the fewer threads win."""
SHORTEST_DELAY_US = 100
"""Below that the timer and the wake-up cost more than waiting saves."""
SERVED_PER_S = 50_000
"""Requests per second that one HTTP process answered with a small model (benchmarks/results/closed.md; 85,000 with one
that only copies, front-end.md). What computes more rows than that may as well have fewer cores: a second instance of
such a model made serving slower, not faster (sweep-instances.md)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to configure, and what to expect of it: `throughput` in rows per second, `p99_s` without the network.
    `meets_slo` is False when nothing does; then it is the quickest of all."""

    arrangement: Arrangement
    rows: int
    delay_us: int
    throughput: float
    p99_s: float
    meets_slo: bool


def choose(timings: Sequence[Timing], lines: Mapping[Arrangement, Line], slo_s: float, limit: int = 0) -> Choice:
    """The best of the measured points. There must be one. `limit` is the max_batch_size of the configuration, which is
    never lowered."""
    assert timings
    allowed = [timing for timing in timings if 2 * timing.slow <= slo_s]
    if allowed:
        allowed = _on_few_cores(allowed)
        best = max(timing.throughput for timing in allowed)
        timing = min((one for one in allowed if one.throughput >= (1 - SAME_THROUGHPUT) * best), key=_cost)
    else:
        timing = min(timings, key=lambda one: one.slow)
    point = timing.point
    waits = point.rows > 1 and limit <= point.rows
    delay_us = queue_delay_us(lines[point.arrangement], slo_s - 2 * timing.slow) if waits else 0
    p99_s = 2 * timing.slow + delay_us / 1e6
    return Choice(point.arrangement, point.rows, delay_us, timing.throughput, p99_s, bool(allowed))


def _on_few_cores(timings: list[Timing]) -> list[Timing]:
    """All points of the smallest arrangement that computes as much as can be served; all points where none does."""
    enough = [timing.point.arrangement for timing in timings if timing.throughput >= SERVED_PER_S]
    if not enough:
        return timings
    smallest = min(enough, key=_cores)
    return [timing for timing in timings if timing.point.arrangement == smallest]


def _cores(arrangement: Arrangement) -> tuple[int, int]:
    return arrangement.instances * arrangement.threads, arrangement.instances


def _cost(timing: Timing) -> tuple[int, tuple[int, int]]:
    return timing.point.rows, _cores(timing.point.arrangement)


def queue_delay_us(line: Line, spare_s: float) -> int:
    """Microseconds a batch may wait for more requests, in round numbers."""
    delay_us = round(min(line.fixed, spare_s) * 1e6)
    return delay_us // 100 * 100 if delay_us >= SHORTEST_DELAY_US else 0


def apply(written: ModelConfig, choice: Choice, kind: int, *, batches: bool) -> ModelConfig:
    """A copy of the configuration as written, with the choice in it. `kind` is that of the measured instances,
    `batches` whether the model has a batch dimension.

    A larger max_batch_size stays, so that clients with large requests are still served, and the choice becomes the
    preferred size.
    """
    config = copy_of(written)
    if batches:
        _batch(config, choice)
    if not config.instance_group:
        config.instance_group.add()
    group = config.instance_group[0]
    group.count, group.kind = choice.arrangement.instances, kind
    if choice.arrangement.threads:
        config.parameters[THREADS].string_value = str(choice.arrangement.threads)
    return config


def _batch(config: ModelConfig, choice: Choice) -> None:
    limit = config.max_batch_size
    config.max_batch_size = max(limit, choice.rows)
    if config.max_batch_size == 1 and not config.HasField("dynamic_batching"):
        return
    # Also for batches of 1 under a larger limit: where the model completes the configuration, it would batch up to it.
    batching = config.dynamic_batching
    batching.SetInParent()
    del batching.preferred_batch_size[:]
    if limit > choice.rows:
        batching.preferred_batch_size.append(choice.rows)
    batching.max_queue_delay_microseconds = choice.delay_us
