import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.tuning.choose import Choice, apply, choose, queue_delay_us
from despina.tuning.curve import Line, fit_all
from despina.tuning.measure import Arrangement, Point, Timing

KIND_CPU = 2


def timing(rows: int, seconds: float, instances: int = 1, threads: int = 1, slow: float = 0.0) -> Timing:
    return Timing(Point(Arrangement(threads, instances), rows), seconds, slow or seconds, 0.0, 3)


def chosen(timings: list[Timing], slo: float) -> Choice:
    return choose(timings, fit_all(timings), slo)


def test_the_largest_throughput_that_keeps_the_slo_wins() -> None:
    timings = [timing(n, 0.004 + 0.001 * n) for n in (1, 2, 4, 8, 16)]
    assert [chosen(timings, slo).rows for slo in (0.011, 0.017, 0.025, 0.041)] == [1, 4, 8, 16]


def test_the_slow_end_of_the_times_counts() -> None:
    timings = [timing(1, 0.002), timing(8, 0.004, slow=0.02)]
    choice = chosen(timings, 0.03)
    assert choice.rows == 1
    assert choice.p99_s == pytest.approx(0.004)


def test_of_equal_throughputs_the_smaller_batch_and_the_fewer_threads_win() -> None:
    timings = [timing(4, 0.0040, threads=2), timing(4, 0.0040), timing(8, 0.0079), timing(4, 0.0079, instances=2)]
    choice = chosen(timings, 1.0)
    assert (choice.rows, choice.arrangement) == (4, Arrangement(1, 1))


def test_instances_and_threads_are_chosen_together() -> None:
    timings = [timing(8, 0.008, 1, 2), timing(8, 0.010, 2, 1), timing(8, 0.016, 1, 1)]
    assert chosen(timings, 1.0).arrangement == Arrangement(1, 2)


def test_what_computes_more_than_can_be_served_gets_no_more_cores_than_that_takes() -> None:
    one = [timing(1, 0.00005), timing(8, 0.00014), timing(16, 0.00022), timing(32, 0.00044)]
    timings = [*one, timing(16, 0.00022, instances=2), timing(16, 0.00015, threads=2)]
    choice = chosen(timings, 1.0)
    assert (choice.arrangement, choice.rows) == (Arrangement(1, 1), 16)


def test_where_nothing_keeps_the_slo_the_quickest_is_told_as_such() -> None:
    choice = chosen([timing(1, 0.01), timing(2, 0.02)], 0.005)
    assert (choice.meets_slo, choice.rows, choice.delay_us) == (False, 1, 0)


@pytest.mark.parametrize(
    ("fixed", "spare", "delay"),
    [(0.0025, 1.0, 2500), (0.01, 0.00234, 2300), (0.00009, 1.0, 0), (0.01, 0.00005, 0), (0.01, -0.1, 0)],
)
def test_a_batch_waits_for_its_fixed_cost_at_most_and_never_past_the_slo(
    fixed: float, spare: float, delay: int
) -> None:
    assert queue_delay_us(Line(fixed, 0.001, 0.0), spare) == delay


def test_the_promised_p99_includes_the_delay_and_keeps_the_slo() -> None:
    choice = chosen([timing(n, 0.004 + 0.001 * n) for n in (1, 2, 4, 8)], 0.026)
    assert (choice.rows, choice.delay_us) == (8, 2000)
    assert choice.p99_s == pytest.approx(0.026)


def test_batches_below_the_limit_do_not_wait_because_a_delay_would_let_them_grow_to_it() -> None:
    timings = [timing(n, 0.004 + 0.001 * n) for n in (1, 2, 4, 8)]
    delays = [choose(timings, fit_all(timings), 0.026, limit).delay_us for limit in (0, 4, 8, 9)]
    assert delays == [2000, 2000, 2000, 0]


def tuned(written: str, rows: int = 8, threads: int = 2, delay: int = 500, *, batches: bool = True) -> ModelConfig:
    config = text_format.Parse(written, ModelConfig())
    return apply(config, Choice(Arrangement(threads, 3), rows, delay, 1.0, 0.1, True), KIND_CPU, batches=batches)


NEW = 'parameters { key: "intra_op_thread_count" value { string_value: "2" } }'
GROUP = "instance_group { count: 3 kind: KIND_CPU }"


@pytest.mark.parametrize(
    ("written", "rows", "expected"),
    [
        ("", 8, "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 500 }"),
        ("", 1, "max_batch_size: 1"),
        (
            "max_batch_size: 32",
            8,
            "max_batch_size: 32 dynamic_batching { preferred_batch_size: 8 max_queue_delay_microseconds: 500 }",
        ),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 2, 4 ] preserve_ordering: true }",
            8,
            "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 500 preserve_ordering: true }",
        ),
        (
            "max_batch_size: 32",
            1,
            "max_batch_size: 32 dynamic_batching { preferred_batch_size: 1 max_queue_delay_microseconds: 500 }",
        ),
        ("max_batch_size: 1", 1, "max_batch_size: 1"),
        (
            "max_batch_size: 1 dynamic_batching { max_queue_delay_microseconds: 9000 }",
            1,
            "max_batch_size: 1 dynamic_batching { max_queue_delay_microseconds: 500 }",
        ),
        ("max_batch_size: 8", 8, "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 500 }"),
    ],
)
def test_batching_as_chosen(written: str, rows: int, expected: str) -> None:
    assert tuned(written, rows) == text_format.Parse(f"{expected} {NEW} {GROUP}", ModelConfig())


def test_what_is_not_chosen_stays() -> None:
    kept = """name: "m" output { name: "y" label_filename: "l" } optimization { graph { level: -1 } }
        parameters { key: "p" value { string_value: "v" } }"""
    written = kept + " instance_group { name: 'g' count: 1 rate_limiter { priority: 2 } }"
    config = tuned(written, batches=False)
    group = "instance_group { name: 'g' count: 3 kind: KIND_CPU rate_limiter { priority: 2 } }"
    assert config == text_format.Parse(f"{kept} {NEW} {group}", ModelConfig())


def test_threads_that_were_not_varied_are_not_written() -> None:
    assert "intra_op_thread_count" not in tuned("", threads=0).parameters
