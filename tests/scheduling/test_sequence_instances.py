"""Which instance a sequence runs on, when the first of them may start, and how they take turns."""

import pytest
from tests.support.sequences import BOTH, SequenceStage, direct, oldest

from despina.scheduling.permits import Permits
from despina.scheduling.rate_limiter import Demand, Permit, RateLimiter, Resource


def test_new_sequences_go_to_the_lowest_free_slot_over_all_instances(clock) -> None:
    stage = SequenceStage(clock, direct(2), instances=2)
    for sequence in (1, 2, 3, 4):
        stage.submit(sequence, flags="s", settle=False)
    clock.settle()
    assert stage.ran == [[1, 3], [2, 4]]


@pytest.mark.parametrize("plan", [direct(2), oldest(2)], ids=["direct", "oldest"])
def test_a_sequence_stays_on_its_instance(plan, clock) -> None:
    stage = SequenceStage(clock, plan, instances=2)
    for flags in ("s", "", "", "e"):
        for sequence in (1, 2, 3, 4):
            stage.submit(sequence, flags=flags, settle=False)
        clock.settle()
        for run in list(stage.running):
            assert run["CORRID"] == {"instance_0": [1, 3], "instance_1": [2, 4]}[run.runner]
        stage.finish_all()


def test_the_environment_holds_direct_instances_until_enough_is_queued_in_slots(clock) -> None:
    stage = SequenceStage(clock, direct(2), hold_requests=3, hold_backlog=2)
    stage.submit(1, flags="s")
    stage.submit(2, flags="s")
    stage.submit(1)
    stage.submit(3, flags="s")
    assert stage.ran == []
    stage.submit(3)
    assert stage.ran == [[1, 2]]


def test_the_environment_holds_direct_instances_without_a_backlog_too(clock) -> None:
    stage = SequenceStage(clock, direct(2), hold_requests=3)
    for sequence, flags in ((1, "s"), (2, "s"), (1, "")):
        assert stage.ran == []
        stage.submit(sequence, flags=flags)
    assert stage.ran == [[1, 2]]


@BOTH
def test_the_environment_holds_nobody_for_the_backlog_alone(plan, clock) -> None:
    stage = SequenceStage(clock, plan, hold_backlog=2)
    stage.submit(1, flags="s")
    assert stage.ran == [[1]]


def test_the_environment_holds_oldest_instances_until_enough_is_handed_on(clock) -> None:
    stage = SequenceStage(clock, oldest(4), hold_requests=3, hold_backlog=2)
    for sequence in (1, 1, 2, 3):
        assert stage.ran == []
        stage.submit(sequence, flags="s")
    assert stage.ran == [[1, 2, 3]]


@BOTH
def test_nothing_is_held_back_from_an_unloading_model(plan, clock) -> None:
    stage = SequenceStage(clock, plan, hold_requests=3)
    stage.submit(1, flags="s")
    stage.scheduler.when_idle(lambda: None)
    clock.settle()
    assert stage.ran == [[1]]


def limited(stage: SequenceStage) -> RateLimiter:
    """A limiter that lets one of the instances run at a time."""
    limiter = RateLimiter()
    permits = {runner: Permit([Demand(Resource("R"), 1)], 1, stage.scheduler.ask_turn) for runner in stage.runners}
    limiter.join(tuple(permits.values()))
    stage.scheduler.use_permits(Permits(limiter, permits))
    return limiter


@BOTH
def test_the_rate_limiter_lets_instances_take_turns(plan, clock) -> None:
    stage = SequenceStage(clock, plan, instances=2)
    limited(stage)
    for sequence, flags in ((1, "s"), (2, "s"), (1, "e")):
        stage.submit(sequence, flags=flags)
    assert stage.ran == [[1]]
    stage.finish_all()
    assert stage.ran == [[1], [2], [1]]


@BOTH
def test_an_instance_whose_work_is_gone_leaves_its_turn_to_others(plan, clock) -> None:
    stage = SequenceStage(clock, plan, instances=3)
    limited(stage)
    stage.submit(1, flags="s")
    gone = stage.submit(2, flags="s")
    stage.submit(3, flags="s")
    stage.scheduler.request_gone(gone)
    clock.settle()
    stage.finish_all()
    assert stage.ran == [[1], [3]]


@BOTH
def test_an_unloaded_model_needs_no_resources(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    limiter = limited(stage)
    stage.scheduler.close()
    limiter.join([Permit([Demand(Resource("R", device=0), 1)], 1, print)])
