"""Short models, which run on the thread of the event loop."""

import pytest

from despina.scheduling.batch_policy import BatchPolicy


@pytest.fixture
def stage(make_stage, clock):
    clock.round_ns = 10_000
    stage = make_stage()
    stage.inline = True
    return stage


def ask(stage, clients) -> None:
    for client in clients:
        stage.submit(settle=False, client=client)


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
