"""In which order answers go out."""

from despina.errors import Internal
from despina.scheduling.batch_policy import BatchPolicy


def test_answers_come_in_the_order_of_the_requests_and_carry_their_rows(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    requests = [stage.submit(rows, value=rows) for rows in (3, 2, 3, 1)]
    stage.finish_all()
    assert stage.answered[1:] == requests
    assert stage.ran == [8, 1]
    for pending in requests:
        assert pending.results["OUT"].tolist() == [[pending.rows] * 2] * pending.rows


def test_ordered_answers_wait_for_the_earlier_batch(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1), instances=2, ordered=True)
    slow, fast, next_one = stage.submit(), stage.submit(), stage.submit()
    stage.finish(1)
    stage.finish(1)
    assert stage.answered == []
    clock.advance(7)
    assert stage.batcher.busy
    stage.finish(0)
    assert stage.answered == [slow, fast, next_one]
    assert stage.statistics.compute.output.ns == 0


def test_a_failure_keeps_its_place_among_ordered_answers(make_stage) -> None:
    stage = make_stage(BatchPolicy(1), instances=3, ordered=True)
    first, failed, last = stage.submit(), stage.submit(), stage.submit()
    stage.finish(2)
    stage.finish(1, error=Internal("no"))
    assert stage.answered == []
    stage.finish(0)
    assert stage.answered == [first, failed, last]
    assert failed.error is not None


def test_without_preserved_order_a_short_request_overtakes(make_stage) -> None:
    stage = make_stage(BatchPolicy(1), instances=2)
    stage.submit()
    short = stage.submit()
    stage.finish(1)
    assert stage.answered == [short]
