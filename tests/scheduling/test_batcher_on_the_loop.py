"""Short models, which run on the thread of the event loop."""

import pytest

from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.pending import Pending


@pytest.fixture
def stage(make_stage, clock):
    clock.round_ns = 10_000
    stage = make_stage()
    stage.inline = True
    return stage


def ask(stage, clients) -> None:
    for client in clients:
        stage.submit(settle=False, client=client)


def test_batches_that_nothing_can_join_run_in_one_turn_as_long_as_that_is_short(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1))
    stage.inline = True
    turns: list[int] = []

    def take_80_us(pending: Pending) -> None:
        stage.answered.append(pending)
        clock.pass_by(80_000)

    for _ in range(5):
        stage.submit(settle=False, on_answer=take_80_us)
    clock.call_soon(lambda: turns.append(len(stage.answered)))
    clock.settle()
    assert turns == [3]
    assert len(stage.answered) == 5


def test_a_batch_that_may_grow_waits_for_what_comes_while_another_runs(stage, clock) -> None:
    for shape in "aab":
        stage.submit(settle=False, shape_key=shape)
    clock.settle_once()
    assert stage.ran == [2]
    stage.submit(settle=False, shape_key="b")
    clock.settle()
    assert stage.ran == [2, 2]


def test_two_groups_of_clients_of_a_short_model_become_one(stage, clock) -> None:
    ask(stage, "ab")
    clock.settle_once()
    assert stage.ran == [2]
    ask(stage, "cd")  # they asked while those ran
    clock.settle_once()
    ask(stage, "ab")  # those ask again
    clock.settle()
    assert stage.ran == [2, 4]


def test_clients_that_are_all_back_at_once_are_not_waited_for(stage, clock) -> None:
    for round_number in range(1, 4):
        ask(stage, "abcd")
        clock.settle_once()
        assert stage.ran == [4] * round_number


def test_the_first_group_is_not_waited_for_any_longer_than_a_moment(stage, clock) -> None:
    start_ns = clock.now_ns()
    ask(stage, "a")
    clock.settle_once()
    ask(stage, "a")
    while len(stage.ran) < 2:
        clock.settle_once()
    assert stage.ran == [1, 1]
    assert clock.now_ns() <= start_ns + 150_000


def test_the_loop_stays_awake_for_a_client_that_was_just_answered(stage, clock) -> None:
    start_ns = clock.now_ns()
    ask(stage, "a")
    clock.settle()
    assert start_ns + 100_000 <= clock.now_ns() <= start_ns + 150_000
    ask(stage, "a")
    clock.settle_once()
    assert stage.ran == [1, 1]


def test_who_waits_for_the_last_answer_hears_of_it_at_once(stage, clock) -> None:
    ask(stage, "a")
    clock.settle_once()
    heard: list[bool] = []
    stage.batcher.when_idle(lambda: heard.append(True))
    clock.settle_once()
    assert heard
