import pytest
from tests.support.sequences import SequenceStage, oldest

from despina.errors import Cancelled, InvalidArgument


def submit(stage, *sequences, flags="s") -> None:
    for sequence in sequences:
        stage.submit(sequence, sequence, flags, settle=False)
    stage.clock.settle()


def test_requests_of_different_sequences_share_a_batch(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 3, 1, 2)
    assert stage.ran == [[3, 1, 2]]


def test_there_are_no_rows_without_a_request(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1, 2, 3)
    stage.finish()
    submit(stage, 3, flags="")
    assert stage.ran[-1] == [3]
    assert stage.running[0]["READY"] == [1]


def test_a_sequence_has_one_request_under_way(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1, 1, 2)
    assert stage.ran == [[1, 2]]
    stage.finish()
    assert stage.ran == [[1, 2], [1]]


def test_a_batch_is_no_larger_than_the_model_allows(clock) -> None:
    stage = SequenceStage(clock, oldest(8))
    submit(stage, 1, 2, 3, 4, 5, 6)
    stage.finish_all()
    assert stage.ran == [[1, 2, 3, 4], [5, 6]]


def test_no_more_sequences_than_candidates_are_considered(clock) -> None:
    stage = SequenceStage(clock, oldest(2))
    submit(stage, 1, 2, 3)
    assert stage.ran == [[1, 2]]
    stage.finish()
    assert stage.running == []
    submit(stage, 1, flags="e")
    stage.finish_all()
    assert stage.ran == [[1, 2], [1], [3]]


def test_the_next_sequence_of_a_slot_waits_for_the_last_answer_of_the_one_before(clock) -> None:
    stage = SequenceStage(clock, oldest(1))
    submit(stage, 1, flags="se")
    submit(stage, 2, flags="s")
    assert stage.ran == [[1]]
    stage.finish()
    assert stage.ran == [[1], [2]]


def test_with_room_a_sequence_need_not_wait_for_the_last_answer_of_another(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1, 2, 3, 4, flags="se")
    assert stage.ran == [[1, 2, 3, 4]]
    submit(stage, 5, 6, flags="se")
    stage.finish_all()
    submit(stage, 7, 8, 9, 10, 11, flags="se")
    stage.finish_all()
    assert stage.ran == [[1, 2, 3, 4], [5, 6], [7, 8, 9, 10], [11]]


def test_an_id_that_begins_anew_waits_for_its_last_answer(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1, 2, 1, 3, flags="se")
    assert stage.ran == [[1, 2, 3]]
    stage.finish_all()
    assert stage.ran == [[1, 2, 3], [1]]


def test_an_id_that_begins_anew_waits_where_its_last_request_is(clock) -> None:
    stage = SequenceStage(clock, oldest(1), instances=2)
    submit(stage, 1, 2, 2, flags="se")
    assert stage.ran == [[1], [2]]
    stage.finish(0)
    assert stage.ran == [[1], [2]]
    stage.finish(0)
    assert stage.ran == [[1], [2], [2]]


def test_a_slot_that_others_have_is_not_free_when_an_earlier_answer_of_it_comes(clock) -> None:
    stage = SequenceStage(clock, oldest(1), instances=2)
    submit(stage, 1, 2, flags="se")
    submit(stage, 9, flags="s")  # behind the last request of 1
    submit(stage, 1, flags="se")  # behind that of 2
    stage.finish(1)
    stage.finish(0)
    submit(stage, 5, flags="se")
    assert stage.ran == [[1], [2], [1], [9]]
    stage.finish_all()
    assert stage.ran[4:] == [[5]]
    submit(stage, 9, flags="e")
    stage.finish_all()
    submit(stage, 6, 7)
    assert stage.ran[-2:] == [[6], [7]]


def test_both_slots_of_an_id_that_ended_twice_are_free_again(clock) -> None:
    stage = SequenceStage(clock, oldest(2))
    submit(stage, 1)
    submit(stage, 1, flags="e")
    submit(stage, 1, flags="se")
    stage.finish_all()
    submit(stage, 5, 6)
    assert stage.ran[-1] == [5, 6]


def test_slots_are_free_again_whatever_became_of_their_sequences(clock) -> None:
    stage = SequenceStage(clock, oldest(3))
    for _ in range(5):
        submit(stage, 1, 2, 3, 4, flags="se")
        gone = stage.submit(2, 2, "se", settle=False)
        stage.submit(2, 2, "s", settle=False)
        stage.scheduler.request_gone(gone)
        submit(stage, 2, flags="e")
        stage.finish_all()
    submit(stage, 5, 6, 7)
    assert stage.ran[-1] == [5, 6, 7]


def test_under_load_an_open_batch_grows(clock) -> None:
    stage = SequenceStage(clock, oldest(8))
    submit(stage, 1)
    for sequence in (2, 3, 4):
        submit(stage, sequence)
    stage.finish_all()
    assert stage.ran == [[1], [2, 3, 4]]


def test_a_preferred_size_is_waited_for(clock) -> None:
    stage = SequenceStage(clock, oldest(4, preferred=(3,), delay_ms=100))
    submit(stage, 1, 2)
    clock.advance(99)
    assert stage.ran == []
    submit(stage, 3)
    assert stage.ran == [[1, 2, 3]]


def test_the_delay_ends_the_wait(clock) -> None:
    stage = SequenceStage(clock, oldest(4, preferred=(3,), delay_ms=100))
    submit(stage, 1)
    clock.advance(50)
    submit(stage, 2)
    clock.advance(50)
    assert stage.ran == [[1, 2]]


def test_the_delay_counts_from_when_a_request_was_handed_on(clock) -> None:
    stage = SequenceStage(clock, oldest(4, preferred=(3,), delay_ms=100))
    submit(stage, 1, 1)
    clock.advance(100)
    assert stage.ran == [[1]]
    clock.advance(70)
    stage.finish()
    clock.advance(99)
    assert stage.ran == [[1]]
    clock.advance(1)
    assert stage.ran == [[1], [1]]


def test_the_time_queued_counts_from_the_arrival(clock) -> None:
    stage = SequenceStage(clock, oldest(1))
    submit(stage, 1, 1)
    clock.advance(30)
    stage.finish()
    stage.finish()
    assert stage.statistics.queue.ns == 30_000_000


def test_different_shapes_run_apart(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    for sequence, key in ((1, "a"), (2, "a"), (3, "b")):
        stage.submit(sequence, flags="s", shape_key=key, settle=False)
    clock.settle()
    stage.finish_all()
    assert stage.ran == [[1, 2], [3]]


@pytest.mark.parametrize("waiting", ["queued", "formed"])
def test_a_request_that_was_handed_on_can_still_be_given_up(clock, waiting) -> None:
    stage = SequenceStage(clock, oldest(4, **({"delay_ms": 100} if waiting == "queued" else {})))
    if waiting == "formed":
        submit(stage, 9)
    gone = stage.submit(1, flags="s")
    stage.submit(2, 2, "s")
    stage.scheduler.request_gone(gone)
    clock.advance(200)
    stage.finish_all()
    assert stage.ran[-1] == [2]
    assert stage.statistics.failures["CANCELED"] == 1
    with pytest.raises(InvalidArgument, match="START flag"):
        stage.submit(1)


def test_a_formed_batch_that_everybody_left_does_not_run(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1)
    gone = stage.submit(2, flags="s")
    stage.scheduler.request_gone(gone)
    stage.finish_all()
    assert stage.ran == [[1]]
    assert not stage.scheduler.busy


def test_the_last_request_given_up_lets_the_next_sequence_of_the_slot_begin(clock) -> None:
    stage = SequenceStage(clock, oldest(1, delay_ms=100))
    gone = stage.submit(1, flags="se")
    submit(stage, 2, 3)
    stage.scheduler.request_gone(gone)
    clock.advance(100)
    stage.finish()
    clock.advance(100)
    submit(stage, 2, flags="e")
    clock.advance(100)
    stage.finish()
    clock.advance(100)
    assert stage.ran == [[2], [2], [3]]


def test_an_open_batch_is_closed_by_another_shape(clock) -> None:
    stage = SequenceStage(clock, oldest(8))
    submit(stage, 1)
    asked = [
        stage.submit(sequence, flags="s", shape_key=key, parameters={"despina_explain": True})
        for sequence, key in ((2, "a"), (3, "b"), (4, "a"), (5, "a"))
    ]
    stage.finish_all()
    assert stage.ran == [[1], [2], [3], [4, 5]]
    told = [pending.response_parameters["batch_closed_by"] for pending in asked]
    assert told == ["shape", "shape", "idle", "idle"]


def test_statistics_count_requests(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1, 2, 3)
    stage.finish()
    statistics = stage.statistics
    assert (statistics.success.count, statistics.inference_count, statistics.execution_count) == (3, 3, 1)
    assert list(statistics.batches) == [3]


def test_what_follows_a_request_that_is_given_up_does_not_run_without_it(clock) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1)
    gone = stage.submit(2, 10, "s")
    following = [stage.submit(2, 20), stage.submit(2, 30)]
    stage.scheduler.request_gone(gone)
    stage.finish_all()
    assert stage.ran == [[1]]
    assert [type(pending.error) for pending in following] == [Cancelled] * 2
    assert not stage.scheduler.busy


def test_the_end_of_a_sequence_that_rests_does_not_look_at_what_waits_of_others(clock, monkeypatch) -> None:
    stage = SequenceStage(clock, oldest(4))
    submit(stage, 1)
    stage.finish()
    (instance,) = stage.scheduler._instances
    monkeypatch.setattr(instance, "_ready", None)
    assert instance.withdraw(stage.scheduler._live[1]) == []
