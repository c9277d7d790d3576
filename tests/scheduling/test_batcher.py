"""How batches are formed, and when they run."""

from despina.scheduling.batch_policy import BatchPolicy


def test_an_idle_instance_runs_a_request_at_once(make_stage) -> None:
    stage = make_stage()
    stage.submit()
    assert stage.ran == [1]


def test_requests_of_the_same_moment_run_together(make_stage, clock) -> None:
    stage = make_stage()
    for _ in range(3):
        stage.submit(settle=False)
    clock.settle()
    assert stage.ran == [3]


def test_twelve_requests_with_a_maximum_of_eight_run_as_8_and_4(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    for _ in range(12):
        stage.submit()
    stage.finish_all()
    assert stage.ran == [8, 4]


def test_eleven_rows_with_preferred_4_and_6_run_as_4_6_1(make_stage) -> None:
    stage = make_stage(BatchPolicy(8, (4, 6)))
    stage.plug()
    for _ in range(11):
        stage.submit()
    stage.finish_all()
    assert stage.ran == [4, 6, 1]


def test_a_batch_that_waits_takes_in_what_has_its_shape_and_nothing_else(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    for shape in "aabba":
        stage.submit(shape_key=shape)
    stage.finish_all()
    assert stage.ran == [2, 2, 1]


def test_without_a_batch_decision_every_request_runs_alone(make_stage) -> None:
    stage = make_stage(None)
    stage.plug()
    for _ in range(3):
        stage.submit(2)
    stage.finish_all()
    assert stage.ran == [2, 2, 2]


def test_every_idle_instance_is_used(make_stage) -> None:
    stage = make_stage(BatchPolicy(8), instances=2)
    stage.submit()
    stage.submit()
    assert {run.runner for run in stage.running} == {"instance_0", "instance_1"}


def test_the_instance_that_is_free_first_takes_the_next_batch(make_stage) -> None:
    stage = make_stage(BatchPolicy(8), instances=2)
    stage.plug(2)
    waiting = stage.submit()
    freed = stage.running[1].runner
    stage.finish(1)
    assert stage.running[-1].runner == freed
    stage.finish(1)
    assert stage.answered[-1] is waiting


def test_a_batch_waits_for_the_delay_although_an_instance_is_idle(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(8, (), 50_000_000))
    stage.submit()
    clock.advance(30)
    stage.submit()
    clock.advance(19)
    assert stage.ran == []
    clock.advance(1)
    assert stage.ran == [2]


def test_a_preferred_size_ends_the_delay_for_itself_only(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(8, (4,), 50_000_000))
    for _ in range(6):
        stage.submit(settle=False)
    clock.settle()
    assert stage.ran == [4]
    clock.advance(50)
    stage.finish_all()
    assert stage.ran == [4, 2]


def test_close_leaves_no_timer(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(2, (), 50_000_000))
    stage.submit()
    stage.submit()
    stage.finish()
    stage.batcher.close()
    assert [timer for timer in clock.timers if not timer.cancelled] == []


def test_a_timer_that_is_early_does_not_shorten_the_delay(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(8, (), 50_000_000))
    stage.submit()
    clock.timers[0].callback()
    clock.settle()
    assert stage.ran == []
    clock.advance(50)
    assert stage.ran == [1]


def test_the_first_turn_is_held_until_enough_requests_are_queued(make_stage) -> None:
    stage = make_stage(BatchPolicy(8, (4, 6)), hold_requests=6)
    for _ in range(5):
        stage.submit()
    assert stage.ran == []
    stage.submit()
    assert stage.ran == [6]
    stage.finish()
    stage.submit()
    assert stage.ran == [6, 1]


def test_a_model_without_batch_dimension_runs_on_zero_rows(make_stage) -> None:
    stage = make_stage(None, batches_rows=False)
    stage.submit()
    assert stage.running[0].batch.rows == 0


def test_batches_of_variable_shapes_are_sized_by_bytes(make_stage) -> None:
    stage = make_stage(fixed_shapes=False)
    stage.submit(4)
    assert stage.running[0].size == 32


def test_when_idle_calls_back_once_everything_is_answered(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1))
    called: list[int] = []
    stage.submit()
    stage.submit()
    stage.batcher.when_idle(lambda: called.append(len(stage.answered)))
    clock.settle()
    stage.finish()
    assert called == []
    stage.finish()
    assert called == [2]


def test_a_long_queue_of_one_model_does_not_delay_another(make_stage, clock) -> None:
    busy, quiet = make_stage(BatchPolicy(8)), make_stage(BatchPolicy(8))
    busy.plug()
    for _ in range(20_000):
        busy.submit(settle=False)
    clock.settle()
    scanned: list[int] = []
    queue_type = type(busy.batcher._queue)

    class Counting(queue_type):
        def __iter__(self):
            for pending in super().__iter__():
                scanned.append(1)
                yield pending

    busy.batcher._queue.__class__ = Counting
    busy.finish()
    answer = quiet.submit()
    quiet.finish()
    assert answer.results is not None
    assert len(scanned) < 100
