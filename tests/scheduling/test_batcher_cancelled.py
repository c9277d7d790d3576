"""Requests whose clients have gone."""

from despina.scheduling.batch_policy import BatchPolicy


def test_a_cancelled_request_leaves_the_queue(make_stage) -> None:
    stage = make_stage(BatchPolicy(1))
    stage.plug()
    requests = [stage.submit() for _ in range(5)]
    stage.batcher.request_gone(requests[4])
    stage.finish()
    assert requests[4] in stage.answered
    assert requests[4].error is not None
    assert requests[4].error.status == 400
    assert stage.statistics.failures["CANCELED"] == 1
    assert stage.statistics.pending == 3


def test_a_cancelled_request_leaves_a_formed_batch_and_its_neighbours_run(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    first, gone, last = (stage.submit(value=n) for n in range(3))
    stage.batcher.request_gone(gone)
    stage.finish()
    assert stage.running[0].rows == 2
    stage.finish()
    assert gone.results is None
    assert [pending.results["OUT"][0, 0] for pending in (first, last)] == [0, 2]


def test_a_batch_of_cancelled_requests_does_not_run(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    gone = stage.submit()
    stage.batcher.request_gone(gone)
    stage.finish()
    assert stage.ran == []
    assert not stage.batcher.busy


def test_a_running_request_is_answered_although_its_client_has_gone(make_stage, clock) -> None:
    stage = make_stage()
    running = stage.submit()
    stage.batcher.request_gone(running)
    clock.settle()
    stage.finish()
    assert stage.statistics.success.count == 1
    assert stage.statistics.failures["CANCELED"] == 0
