import pytest

from despina.errors import Internal, Unavailable
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.request_queue import QueueLimits


def test_a_request_knows_when_its_batch_began_and_computed(make_stage, clock) -> None:
    stage = make_stage()
    clock.advance(5)
    pending = stage.submit()
    started_ns = clock.now_ns()
    clock.advance(7)
    stage.finish()
    assert pending.started_ns == started_ns
    assert pending.input_end_ns == pending.infer_end_ns == clock.now_ns()


def test_statistics_count_requests_rows_and_executions(make_stage, clock) -> None:
    stage = make_stage()
    stage.submit(3)
    stage.submit(2)
    stage.submit(1)
    assert stage.statistics.pending == 2
    clock.advance(5)
    stage.finish_all()
    statistics = stage.statistics
    assert (statistics.success.count, statistics.inference_count, statistics.execution_count) == (3, 6, 2)
    assert {size: batch.count for size, batch in statistics.batches.items()} == {3: 2}
    assert statistics.queue.ns == 10_000_000
    assert statistics.pending == 0


def test_the_writing_of_answers_belongs_to_no_output(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(2))
    stage.plug()
    for _ in range(2):
        stage.submit(on_answer=lambda _: clock.advance(3))
    stage.finish_all()
    success, output = stage.statistics.success, stage.statistics.compute.output
    assert (success.count, success.ns) == (3, 0)
    assert (output.count, output.ns) == (3, 0)


def test_a_group_is_one_execution_and_counts_as_its_requests(make_stage, clock) -> None:
    stage = make_stage()
    stage.plug()
    stage.submit(6, count=3)
    stage.submit(1)
    assert stage.statistics.pending == 4
    stage.finish_all()
    assert stage.ran == [7]
    assert stage.statistics.pending == 0
    assert (stage.statistics.success.count, stage.statistics.queue.count) == (5, 5)
    assert stage.statistics.compute.count == 5
    assert (stage.statistics.inference_count, stage.statistics.execution_count) == (8, 2)
    assert sum(stage.statistics.request_latency.counts) == 5


def test_each_request_of_a_group_fails(make_stage, clock) -> None:
    stage = make_stage(limits=QueueLimits(rows=4))
    stage.submit(2, count=2)
    stage.finish(error=Internal("broken"))
    assert (stage.statistics.fail.count, stage.statistics.failures["BACKEND"]) == (2, 2)
    stage.plug()
    for _ in range(2):
        stage.submit(8)  # formed batches, which wait beside the queue
    stage.submit(4, count=2)
    with pytest.raises(Unavailable):
        stage.submit(3, count=3)
    assert stage.statistics.rejected_queue_full == 3
    gone = stage.submit(0, count=2)
    stage.batcher.request_gone(gone)
    clock.settle()
    assert stage.statistics.failures["CANCELED"] == 2
