import numpy as np
import pytest

from despina.errors import Internal, Unavailable
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.request_queue import QueueLimits


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


def test_answers_come_in_the_order_of_the_requests_and_carry_their_rows(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    requests = [stage.submit(rows, value=rows) for rows in (3, 2, 3, 1)]
    stage.finish_all()
    assert stage.answered[1:] == requests
    assert stage.ran == [8, 1]
    for pending in requests:
        assert pending.results["OUT"].tolist() == [[pending.rows] * 2] * pending.rows


def test_a_request_knows_when_its_batch_began_and_computed(make_stage, clock) -> None:
    stage = make_stage()
    clock.advance(5)
    pending = stage.submit()
    started_ns = clock.now_ns()
    clock.advance(7)
    stage.finish()
    assert pending.started_ns == started_ns
    assert pending.input_end_ns == pending.infer_end_ns == clock.now_ns()


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


def test_an_output_with_too_few_rows_fails_the_requests_it_does_not_reach(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    first, second = stage.submit(2), stage.submit(3, id="second")
    stage.finish()
    stage.finish(outputs={"OUT": np.zeros((4, 1))})
    assert first.results is not None
    assert str(second.error) == (
        "[request id: second] failed to split the output tensor 'OUT' in responses: expected batch size of at least 5 "
        "in model output, got 4"
    )
    statistics = stage.statistics
    assert (statistics.success.count, statistics.failures["BACKEND"]) == (2, 1)
    assert (statistics.execution_count, statistics.inference_count, set(statistics.batches)) == (2, 3, {1, 5})


@pytest.mark.parametrize(
    ("rows", "made", "got"),
    [(1, (3, 2), (1, 2)), (2, (3,), (2,)), (2, (2, 2), (2, 2)), (1, (), ())],
    ids=["more", "more, of one dimension", "as many", "a scalar"],
)
def test_a_request_that_runs_alone_gets_as_many_rows_as_in_company(make_stage, rows, made, got) -> None:
    stage = make_stage()
    pending = stage.submit(rows)
    stage.finish(outputs={"OUT": np.zeros(made)})
    assert pending.results["OUT"].shape == got


@pytest.mark.parametrize(("made", "got"), [((1, 2), 1), ((0, 2), 0), ((), 1)], ids=["a row", "none", "a scalar"])
def test_a_request_that_runs_alone_fails_when_an_output_has_too_few_rows(make_stage, made, got) -> None:
    stage = make_stage()
    pending = stage.submit(2)
    stage.finish(outputs={"OUT": np.zeros(made)})
    assert str(pending.error).endswith(f"expected batch size of at least 2 in model output, got {got}")
    statistics = stage.statistics
    assert (statistics.success.count, statistics.failures["BACKEND"]) == (0, 1)
    assert (statistics.execution_count, statistics.inference_count, set(statistics.batches)) == (1, 0, {2})


def test_a_model_without_a_batch_dimension_answers_with_what_it_made(make_stage) -> None:
    stage = make_stage(None, batches_rows=False)
    pending = stage.submit()
    stage.finish(outputs={"OUT": np.zeros((3, 2))})
    assert pending.results["OUT"].shape == (3, 2)


@pytest.mark.parametrize("rows", [(2, 2, 2), (1, 3, 2)], ids=["even", "uneven"])
def test_every_request_gets_its_own_rows(make_stage, rows) -> None:
    stage = make_stage()
    stage.plug()
    answers = [stage.submit(each) for each in rows]
    stage.finish()
    made = np.arange(12.0).reshape(6, 2)
    stage.finish(outputs={"OUT": made})
    assert stage.ran == [6]
    ends = np.cumsum(rows)
    for answer, end, each in zip(answers, ends, rows, strict=True):
        assert answer.results is not None
        assert np.array_equal(answer.results["OUT"], made[end - each : end])


def test_rows_beyond_those_of_the_requests_belong_to_nobody(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    answers = [stage.submit(), stage.submit()]
    stage.finish()
    stage.finish(outputs={"OUT": np.arange(3.0)})
    assert [list(answer.results["OUT"]) for answer in answers] == [[0.0], [1.0]]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("made", [3, 1])
def test_rows_that_are_not_those_of_the_requests_are_told_once(make_stage, caplog, made, ordered) -> None:
    stage = make_stage(ordered=ordered)
    stage.submit(2)
    stage.finish()
    assert not caplog.messages
    for _ in range(2):
        stage.submit(2)
        stage.finish(outputs={"OUT": np.zeros((made, 2))})
    assert caplog.messages == [
        f"model 'm': output 'OUT' had {made} rows after a batch of 2, and is cut apart as if one belonged to each row "
        "of the inputs. If that is not so, this model cannot batch: list its inputs and outputs in config.pbtxt, "
        "with all dimensions and max_batch_size: 0"
    ]


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


def test_only_outputs_that_somebody_wants_are_computed(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    for names in (("A",), ("B", "A")):
        stage.submit(outputs=names)
    stage.finish()
    assert stage.running[0].batch.outputs == ("A", "B")
    stage.finish(outputs={"A": np.zeros((2, 1)), "B": np.ones((2, 1))})
    assert list(stage.answered[1].results) == ["A"]


def test_a_model_without_batch_dimension_runs_on_zero_rows(make_stage) -> None:
    stage = make_stage(None, batches_rows=False)
    stage.submit()
    assert stage.running[0].batch.rows == 0


def test_batches_of_variable_shapes_are_sized_by_bytes(make_stage) -> None:
    stage = make_stage(fixed_shapes=False)
    stage.submit(4)
    assert stage.running[0].size == 32


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


def test_the_writing_of_answers_belongs_to_no_output(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(2))
    stage.plug()
    for _ in range(2):
        stage.submit(on_answer=lambda _: clock.advance(3))
    stage.finish_all()
    success, output = stage.statistics.success, stage.statistics.compute.output
    assert (success.count, success.ns) == (3, 0)
    assert (output.count, output.ns) == (3, 0)


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


def test_an_instance_on_the_loops_thread_lets_others_have_a_turn_between_batches(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1))
    stage.inline = True
    stage.clock.round_ns = 1_000
    turns: list[int] = []
    for _ in range(3):
        stage.submit(settle=False)
    clock.call_soon(lambda: turns.append(len(stage.answered)))
    clock.settle()
    assert turns == [1]
    assert len(stage.answered) == 3


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


@pytest.mark.parametrize(
    ("policy", "rows", "reasons"),
    [
        (BatchPolicy(8), [1], ["idle"]),
        (BatchPolicy(2), [1, 1, 1], ["full", "full", "idle"]),
        (BatchPolicy(8, (2,)), [1, 1, 1], ["preferred", "preferred", "idle"]),
        (None, [2], ["single"]),
    ],
)
def test_the_explanation_says_what_closed_the_batch(make_stage, clock, policy, rows, reasons) -> None:
    stage = make_stage(policy)
    stage.plug()
    requests = [stage.submit(n, parameters={"despina_explain": True}) for n in rows]
    clock.advance(3)
    stage.finish_all()
    told = [pending.response_parameters for pending in requests]
    assert [parameters["batch_closed_by"] for parameters in told] == reasons
    assert told[0]["queue_us"] == 3000


def test_the_explanation_after_a_delay_and_before_another_shape(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(8, (), 5_000_000))
    ask = {"despina_explain": True}
    alone = stage.submit(parameters=ask, shape_key="a")
    clock.advance(5)
    clock.advance(2)
    stage.finish()
    other = stage.submit(2, parameters=ask, shape_key="a")
    stage.submit(shape_key="b")
    stage.finish()
    assert alone.response_parameters == {
        "batch_rows": 1, "queue_us": 5000, "compute_us": 2000, "batch_closed_by": "delay"
    }  # fmt: skip
    assert other.response_parameters["batch_closed_by"] == "shape"


def test_nothing_is_explained_to_those_who_do_not_ask(make_stage) -> None:
    stage = make_stage()
    pending = stage.submit(parameters={"despina_explain": False, "mine": 1})
    stage.finish()
    assert pending.response_parameters is None


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


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("together", [1, 2, 12])
def test_clients_hear_of_outputs_that_are_no_arrays(
    make_stage, caplog: pytest.LogCaptureFixture, together, ordered
) -> None:
    stage = make_stage(12, ordered=ordered)
    stage.plug()
    requests = [stage.submit() for _ in range(together)]
    stage.finish()
    stage.finish(outputs={"OUT": [[1.0]] * together})
    attribute = "ndim" if together == 1 else "shape"
    assert {str(pending.error) for pending in requests} == {
        f"unexpected failure: 'list' object has no attribute '{attribute}'"
    }
    assert stage.statistics.failures["OTHER"] == together
    assert "could not be put together or answered" in caplog.text
    after = stage.submit()
    stage.finish()
    assert after.results is not None
    assert (stage.statistics.pending, stage.batcher.busy) == (0, False)


def test_two_groups_of_clients_of_a_short_model_become_one(make_stage, clock) -> None:
    stage = make_stage()
    clock.round_ns = 10_000
    stage.inline = True
    for client in "ab":
        stage.submit(settle=False, client=client)
    clock.settle_once()
    assert stage.ran == [2]
    for client in "cd":  # they asked while those ran
        stage.submit(settle=False, client=client)
    clock.settle_once()
    for client in "ab":  # those ask again
        stage.submit(settle=False, client=client)
    clock.settle()
    assert stage.ran == [2, 4]


def test_clients_that_are_all_back_at_once_are_not_waited_for(make_stage, clock) -> None:
    stage = make_stage()
    clock.round_ns = 10_000
    stage.inline = True
    for round_number in range(1, 4):
        for client in "abcd":
            stage.submit(settle=False, client=client)
        clock.settle_once()
        assert stage.ran == [4] * round_number


def test_the_first_group_is_not_waited_for_any_longer_than_a_moment(make_stage, clock) -> None:
    stage = make_stage()
    start_ns = clock.now_ns()
    clock.round_ns = 10_000
    stage.inline = True
    stage.submit(settle=False, client="a")
    clock.settle_once()
    stage.submit(settle=False, client="a")
    while len(stage.ran) < 2:
        clock.settle_once()
    assert stage.ran == [1, 1]
    assert clock.now_ns() <= start_ns + 150_000


def test_the_loop_stays_awake_for_a_client_that_was_just_answered(make_stage, clock) -> None:
    stage = make_stage()
    start_ns = clock.now_ns()
    clock.round_ns = 10_000
    stage.inline = True
    stage.submit(settle=False, client="a")
    clock.settle()
    assert start_ns + 100_000 <= clock.now_ns() <= start_ns + 150_000
    stage.submit(settle=False, client="a")
    clock.settle_once()
    assert stage.ran == [1, 1]


def test_who_waits_for_the_last_answer_hears_of_it_at_once(make_stage, clock) -> None:
    stage = make_stage()
    clock.round_ns = 10_000
    stage.inline = True
    stage.submit(settle=False, client="a")
    clock.settle_once()
    heard: list[bool] = []
    stage.batcher.when_idle(lambda: heard.append(True))
    clock.settle_once()
    assert heard


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
