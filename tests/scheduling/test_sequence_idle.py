"""Sequences that nobody sends anything for."""

import pytest
from tests.support.sequences import BOTH, ONE_SLOT, PLAN, SequenceStage

from despina.errors import InvalidArgument

IDLE_MS = PLAN.idle_ns / 1_000_000


@BOTH
def test_an_idle_sequence_is_forgotten_in_time(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    stage.finish()
    clock.advance(IDLE_MS - 0.1)
    stage.submit(1)
    stage.finish()
    clock.advance(IDLE_MS)
    with pytest.raises(InvalidArgument, match="START flag"):
        stage.submit(1)


@BOTH
def test_a_sequence_with_a_request_is_not_idle_however_long_that_takes(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    clock.advance(5 * IDLE_MS)
    stage.submit(1)
    stage.submit(1)
    stage.finish()
    clock.advance(5 * IDLE_MS)
    stage.finish_all()
    clock.advance(IDLE_MS / 2)
    stage.submit(1)
    clock.advance(5 * IDLE_MS)
    stage.submit(1)
    stage.finish_all()
    assert stage.sums() == [1, 2, 3, 4, 5]


@ONE_SLOT
def test_the_slot_of_an_idle_sequence_goes_to_the_backlog(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    stage.finish()
    clock.advance(400)
    stage.submit(2, 10, "s")
    clock.advance(IDLE_MS - 400.1)
    assert stage.running == []
    clock.advance(0.1)
    assert [run["CORRID"] for run in stage.running] == [[2]]


@ONE_SLOT
def test_a_sequence_in_the_backlog_is_never_idle(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    waiting = stage.submit(2, 10, "s")
    clock.advance(3 * IDLE_MS)
    stage.submit(1, flags="e")
    stage.finish_all()
    assert waiting.error is None
    stage.submit(2, 1)
    stage.finish_all()
    assert stage.sums() == [1, 2, 10, 11]
