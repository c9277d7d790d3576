import pytest

from despina.errors import Internal, Unavailable
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.request_queue import QueueLimits


def test_a_failing_execution_fails_every_request_of_its_batch_and_no_other(make_stage) -> None:
    stage = make_stage(BatchPolicy(2))
    stage.plug()
    bad, also_bad, good = stage.submit(), stage.submit(), stage.submit()
    stage.finish()
    stage.finish(error=Internal("onnx runtime error 6: no"))
    stage.finish()
    assert [str(pending.error) for pending in (bad, also_bad)] == ["onnx runtime error 6: no"] * 2
    assert good.results is not None
    assert stage.statistics.failures["BACKEND"] == 2
    assert stage.statistics.execution_count == 2


def test_a_full_queue_refuses_at_once_and_counts_no_failure(make_stage) -> None:
    stage = make_stage(BatchPolicy(1), limits=QueueLimits(rows=2))
    stage.plug()
    for _ in range(4):
        stage.submit()
    with pytest.raises(Unavailable, match=r"\[request id: x\] Exceeds maximum queue size") as refusal:
        stage.submit(id="x")
    assert refusal.value.retry_after == 1.0
    assert stage.statistics.fail.count == 0
    assert stage.statistics.rejected_queue_full == 1


def test_retry_after_is_the_time_the_queue_needs_at_the_measured_rate(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1), limits=QueueLimits(rows=40))
    stage.plug()
    for _ in range(42):
        stage.submit()
    for _ in range(20):
        clock.advance(50)
        stage.finish()
        stage.submit()
    with pytest.raises(Unavailable) as refusal:
        stage.submit()
    assert refusal.value.retry_after == pytest.approx(40 * 0.05, rel=0.05)


def test_an_answer_that_cannot_be_delivered_costs_nobody_else_theirs(
    make_stage, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(pending: object) -> None:
        raise OSError("no way to tell")

    stage = make_stage()
    stage.plug()
    stage.submit(on_answer=break_down)
    neighbour = stage.submit()
    stage.finish_all()
    assert neighbour in stage.answered
    assert "could not be delivered" in caplog.text


def test_a_batch_that_cannot_be_put_together_fails_and_its_instance_runs_the_next(
    make_stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage()
    stage.plug()
    one, other = stage.submit(), stage.submit()
    del other.inputs["IN"]
    stage.finish()
    assert [str(pending.error) for pending in (one, other)] == ["unexpected failure: 'IN'"] * 2
    assert "a batch could not be put together" in caplog.text
    after = stage.submit()
    stage.finish()
    assert after.results is not None
    assert (stage.statistics.pending, stage.batcher.busy) == (0, False)
