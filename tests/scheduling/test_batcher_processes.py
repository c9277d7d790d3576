"""How batches are handed to instances that have a process of their own."""

from despina.scheduling.batch_policy import BatchPolicy


def overlapping(make_stage, usual: int, **options: object):
    """A stage whose instance has a process, after three batches of the usual size."""
    stage = make_stage(BatchPolicy(64), **options)
    for overlaps in (False, True, True):
        for _ in range(usual):
            stage.submit(settle=False)
        stage.clock.settle()
        for runner in stage.runners:
            runner.overlaps = overlaps
        stage.finish_all()
    stage.ran.clear()
    return stage


def test_a_third_more_than_the_usual_requests_start_before_the_turn(make_stage, clock) -> None:
    stage = overlapping(make_stage, 4)
    for _ in range(5):
        stage.submit(settle=False)
    assert stage.ran == []
    stage.submit(settle=False)
    assert stage.ran == [6]
    clock.settle()
    assert stage.ran == [6]


def test_fewer_start_at_the_turn(make_stage, clock) -> None:
    stage = overlapping(make_stage, 4)
    stage.submit(settle=False)
    clock.settle()
    assert stage.ran == [1]


def test_a_second_batch_is_handed_over_when_it_is_as_large_as_the_first(make_stage) -> None:
    stage = overlapping(make_stage, 4)
    for _ in range(6):
        stage.submit(settle=False)
    for _ in range(5):
        stage.submit()
    assert stage.ran == [6]
    stage.submit()
    assert stage.ran == [6, 6]
    for _ in range(9):
        stage.submit()
    assert stage.ran == [6, 6]
    stage.finish()
    assert stage.ran == [6, 6, 9]


def test_the_next_batch_starts_before_the_last_one_is_answered(make_stage, clock) -> None:
    stage = overlapping(make_stage, 4)
    started_when_answered: list[int] = []
    stage.submit(settle=False, on_answer=lambda _: started_when_answered.append(len(stage.ran)))
    for _ in range(5):
        stage.submit(settle=False)
    for _ in range(6):
        stage.submit()
    assert stage.ran == [6, 6]
    for _ in range(9):
        stage.submit()
    stage.finish()
    assert started_when_answered == [3]


def test_where_batches_may_have_to_wait_nothing_starts_before_the_turn(make_stage, clock) -> None:
    stage = overlapping(make_stage, 4, delays=True)
    for _ in range(8):
        stage.submit(settle=False)
    assert stage.ran == []
    clock.settle()
    assert stage.ran == [8]


def test_answers_belong_to_their_requests(make_stage) -> None:
    stage = overlapping(make_stage, 2)
    stage.answered.clear()
    requests = [stage.submit(rows, value=rows, settle=False) for rows in (1, 2, 3, 4, 5)]
    stage.clock.settle()
    stage.finish_all()
    assert stage.answered == requests
    for pending in requests:
        assert pending.results["OUT"].tolist() == [[pending.rows] * 2] * pending.rows


def test_the_model_is_idle_when_both_batches_have_run(make_stage, clock) -> None:
    stage = overlapping(make_stage, 2)
    for _ in range(4):
        stage.submit()
    idle: list[bool] = []
    stage.batcher.when_idle(lambda: idle.append(True))
    while stage.running:
        assert not idle
        stage.finish()
    assert idle == [True]
    assert not stage.batcher.busy
