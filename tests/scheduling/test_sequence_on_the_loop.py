"""Sequences of short models, which run on the thread of the event loop."""

import pytest
from tests.support.sequences import PLAN, SequenceStage, direct, oldest


@pytest.fixture(params=[direct(), oldest()], ids=["direct", "oldest"])
def stage(request, clock) -> SequenceStage:
    clock.round_ns = 10_000
    stage = SequenceStage(clock, request.param)
    stage.inline = True
    return stage


def ask(stage: SequenceStage, clients: str) -> None:
    """Each client has a sequence of its own."""
    for client in clients:
        stage.submit(ord(client), 1, "se", settle=False, client=client)


def rows(stage: SequenceStage) -> list[int]:
    return [len(ran) for ran in stage.ran]


def test_the_loop_stays_awake_for_a_client_that_was_just_answered(stage, clock) -> None:
    start_ns = clock.now_ns()
    ask(stage, "a")
    clock.settle()
    assert start_ns + 100_000 <= clock.now_ns() <= start_ns + 150_000
    ask(stage, "a")
    clock.settle_once()
    assert rows(stage) == [1, 1]


def test_two_groups_of_clients_become_one(stage, clock) -> None:
    ask(stage, "ab")
    clock.settle_once()
    ask(stage, "cd")  # they asked while those ran
    clock.settle_once()
    ask(stage, "ab")  # those ask again
    clock.settle()
    assert rows(stage) == [2, 4]


def test_nobody_is_waited_for_where_batches_run_elsewhere(clock) -> None:
    clock.round_ns = 10_000
    stage = SequenceStage(clock, PLAN)
    ask(stage, "a")
    clock.settle()
    begin_ns = clock.now_ns()
    stage.finish()
    assert clock.now_ns() - begin_ns <= 20_000
    assert stage.answered


def test_who_waits_for_the_last_answer_hears_of_it_at_once(stage, clock) -> None:
    ask(stage, "a")
    clock.settle_once()
    heard: list[bool] = []
    stage.scheduler.when_idle(lambda: heard.append(True))
    clock.settle_once()
    assert heard


def test_nobody_is_waited_for_while_enough_for_a_batch_wait(stage, clock) -> None:
    ask(stage, "abcdefghijkl")
    begin_ns = clock.now_ns()
    while len(stage.answered) < 12:
        clock.settle_once()
    assert rows(stage) == [4, 4, 4]
    assert clock.now_ns() - begin_ns <= 30_000
