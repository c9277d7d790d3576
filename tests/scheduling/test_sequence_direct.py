from dataclasses import replace

import numpy as np
import pytest
from tests.support.sequences import SequenceStage, direct, flag

from despina.errors import Internal


def fill(stage, count) -> None:
    """`count` sequences with one answered request each, in slots 0, 1, ..."""
    for sequence in range(1, count + 1):
        stage.submit(sequence, sequence, "s", settle=False)
    stage.clock.settle()
    stage.finish_all()
    stage.ran.clear()
    stage.answered.clear()


def test_every_sequence_keeps_its_row(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 3)
    for sequence in (3, 1, 2):
        stage.submit(sequence, settle=False)
    clock.settle()
    assert stage.ran == [[1, 2, 3]]


def test_rows_without_a_request_are_not_ready_and_zero(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 3)
    stage.submit(3, 5, "e")
    (run,) = stage.running
    assert run.batch.rows == 3
    assert run["READY"] == [0, 0, 1]
    assert run["START"] == [0, 0, 0]
    assert run["END"] == [0, 0, 1]
    assert run["CORRID"] == [0, 0, 3]
    assert run["IN"] == [0, 0, 5]
    assert run["STATE"] == [0, 0, 3]
    stage.finish()
    assert stage.sums() == [8]


def test_an_execution_ends_at_the_highest_row_with_a_request(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 4)
    stage.submit(2)
    assert stage.ran == [[0, 2]]


def test_rows_without_a_request_keep_their_state(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 2)
    stage.submit(2, 5)
    stage.finish()
    stage.submit(1, 5)
    stage.finish()
    assert stage.sums() == [7, 6]


def test_statistics_count_all_rows_in_the_batch_size_and_only_requests_as_inferences(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 2)
    stage.submit(2)
    stage.finish()
    statistics = stage.statistics
    assert (statistics.success.count, statistics.inference_count, statistics.execution_count) == (3, 3, 2)
    assert {size: batch.count for size, batch in statistics.batches.items()} == {2: 2}
    assert statistics.compute.infer.count == 3


def test_an_ended_sequence_gives_its_row_to_the_backlog_for_the_next_execution(clock) -> None:
    stage = SequenceStage(clock, direct(2))
    fill(stage, 2)
    stage.submit(3, 3, "s")
    stage.submit(1, flags="e")
    assert [run["CORRID"] for run in stage.running] == [[1]]
    stage.submit(2)
    stage.finish()
    assert [run["CORRID"] for run in stage.running] == [[3, 2]]


def test_an_instance_runs_one_batch_at_a_time(clock) -> None:
    stage = SequenceStage(clock)
    stage.submit(1, flags="s")
    stage.submit(2, flags="s")
    stage.submit(3, flags="s")
    assert stage.ran == [[1]]
    stage.finish()
    assert stage.ran == [[1], [0, 2, 3]]


def test_a_batch_waits_for_the_share_of_rows(clock) -> None:
    stage = SequenceStage(clock, direct(4, delay_ms=100, utilization=0.5))
    stage.submit(1, flags="s")
    clock.advance(50)
    assert stage.ran == []
    stage.submit(2, flags="s")
    assert stage.ran == [[1, 2]]


def test_a_batch_goes_when_its_oldest_request_has_waited(clock) -> None:
    stage = SequenceStage(clock, direct(4, delay_ms=100, utilization=1.0))
    stage.submit(1, flags="s")
    clock.advance(60)
    stage.submit(2, flags="s")
    clock.advance(39.9)
    assert stage.ran == []
    clock.advance(0.1)
    assert stage.ran == [[1, 2]]


def test_the_share_counts_requests_not_rows(clock) -> None:
    stage = SequenceStage(clock, direct(4, delay_ms=100, utilization=0.75))
    for sequence in (1, 2, 3):
        stage.submit(sequence, flags="s", settle=False)
    clock.settle()
    stage.finish()
    stage.submit(1)
    stage.submit(3)
    assert stage.ran == [[1, 2, 3]]
    clock.advance(100)
    assert stage.ran == [[1, 2, 3], [1, 0, 3]]


def test_a_delay_without_a_share_and_a_share_without_a_delay_mean_nothing(clock) -> None:
    for plan in (direct(4, delay_ms=100), direct(4, utilization=1.0)):
        stage = SequenceStage(clock, plan)
        stage.submit(1, flags="s")
        assert stage.ran == [[1]]


def test_the_wait_counts_from_the_arrival_of_the_request_at_the_front(clock) -> None:
    stage = SequenceStage(clock, direct(2, delay_ms=100, utilization=1.0))
    stage.submit(1, flags="s")
    stage.submit(1)
    clock.advance(100)
    assert stage.ran == [[1]]
    clock.advance(5)
    stage.finish()
    assert stage.ran == [[1], [1]]


@pytest.mark.parametrize(
    ("order", "ran"),
    [([2, 1, 3], [[0, 2, 3], [1]]), ([1, 2, 3], [[1, 0, 0], [0, 2, 3]])],
    ids=["the longest wait goes first", "rows go up to the highest with a request of whatever shape"],
)
def test_different_shapes_run_apart_in_their_own_rows(clock, order, ran) -> None:
    stage = SequenceStage(clock)
    fill(stage, 4)
    stage.submit(4)
    for sequence in order:
        clock.advance(1)
        stage.submit(sequence, shape_key="narrow" if sequence == 1 else "wide")
    stage.finish_all()
    assert stage.ran == [[0, 0, 0, 4], *ran]


def test_a_model_without_a_batch_dimension_runs_one_request_at_a_time(clock) -> None:
    states = tuple(replace(state, initial=np.zeros(1, "<i4")) for state in direct().states)
    plan = replace(direct(0), flags=tuple(flag(kind, (1,)) for kind in ("START", "END", "READY")), states=states)
    stage = SequenceStage(clock, plan)
    for value, flags in ((1, "s"), (2, "e")):
        stage.submit(5, value, flags, inputs={"IN": np.full(1, value, "<i4")})
        (run,) = stage.running
        assert run.batch.rows == 0
        assert {name: part.shape for name, (part,) in run.batch.inputs.items()} == dict.fromkeys(run.batch.inputs, (1,))
        stage.finish()
    assert [pending.results["SUM"].tolist() for pending in stage.answered] == [[1], [3]]
    assert stage.statistics.inference_count == 2


def test_a_failure_fails_all_requests_of_the_batch(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 2)
    stage.submit(1, settle=False)
    stage.submit(2, settle=False)
    clock.settle()
    stage.finish(error=Internal("boom"))
    assert [pending.error.message for pending in stage.answered] == ["boom", "boom"]


def test_who_asks_is_told_why(clock) -> None:
    stage = SequenceStage(clock)
    fill(stage, 2)
    pending = stage.submit(2, parameters={"despina_explain": True})
    clock.advance(3)
    stage.finish()
    assert pending.response_parameters == {
        "batch_rows": 2,
        "queue_us": 0,
        "compute_us": 3000,
        "batch_closed_by": "idle",
    }
