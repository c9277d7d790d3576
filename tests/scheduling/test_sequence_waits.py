"""Sequences that wait for a slot."""

import pytest
from tests.support.sequences import ONE_SLOT, SequenceStage

from despina.errors import InvalidArgument, Unavailable
from despina.scheduling.sequence_scheduler import EXPIRED


@ONE_SLOT
def test_without_a_slot_a_sequence_waits_for_the_end_of_another(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, 1, "s")
    stage.finish()
    stage.submit(2, 10, "s")
    stage.submit(2, 5, "e")
    assert stage.running == []
    stage.submit(1, 2, "e")
    stage.finish_all()
    assert stage.sums() == [1, 3, 10, 15]


@ONE_SLOT
def test_the_backlog_is_served_first_come_first_served(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    for sequence in (4, 3, 2, 1):
        stage.submit(sequence, flags="s")
    for sequence in (1, 2, 3, 4):
        stage.submit(sequence, flags="e")
    stage.finish_all()
    assert stage.ran == [[4], [4], [3], [3], [2], [2], [1], [1]]


@ONE_SLOT
def test_a_sequence_may_end_and_begin_again_in_the_backlog(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, 1, "s")
    for value, flags in ((2, "s"), (3, "e"), (4, "s"), (5, "e")):
        stage.submit(2, value, flags)
    stage.submit(1, 1, "e")
    stage.finish_all()
    assert stage.sums() == [1, 2, 2, 5, 4, 9]


@ONE_SLOT
def test_a_sequence_from_the_backlog_goes_on_in_its_slot(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, 1, "se")
    stage.submit(2, 2, "s")
    stage.finish_all()
    stage.submit(2, 3)
    stage.finish_all()
    assert stage.sums() == [1, 2, 5]


@ONE_SLOT
def test_a_timeout_of_a_request_ends_the_wait_of_its_sequence(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    stage.finish()
    stage.submit(1)
    late = [stage.submit(2, flags="s", timeout_us=90_000), stage.submit(2, timeout_us=50_000), stage.submit(2)]
    clock.advance(49.9)
    assert [pending.error for pending in late] == [None] * 3
    clock.advance(0.1)
    assert [(type(pending.error), str(pending.error)) for pending in late] == [(Unavailable, EXPIRED)] * 3
    assert (stage.statistics.failures["REJECTED"], stage.statistics.pending) == (3, 0)
    with pytest.raises(InvalidArgument, match="START flag"):
        stage.submit(2)
    stage.finish_all()
    assert stage.ran == [[1], [1]]


@ONE_SLOT
def test_an_expired_sequence_leaves_a_newer_one_of_its_id_alone(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    old = stage.submit(2, 1, "se", timeout_us=10_000)
    new = stage.submit(2, 2, "s")
    clock.advance(20)
    assert str(old.error) == EXPIRED
    stage.submit(1, flags="e")
    stage.submit(2, 5, "e")
    stage.finish_all()
    assert new.error is None
    assert stage.sums() == [None, 1, 2, 2, 7]


@ONE_SLOT
def test_a_timeout_means_nothing_to_a_sequence_with_a_slot(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    waiting = stage.submit(1, flags="e", timeout_us=1)
    clock.advance(10)
    stage.finish_all()
    assert waiting.error is None


@ONE_SLOT
def test_a_timeout_is_over_once_the_sequence_has_a_slot(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="se")
    stage.submit(2, flags="s", timeout_us=50_000)
    stage.submit(2, flags="e")
    stage.finish()
    clock.advance(60)
    stage.finish_all()
    assert stage.sums() == [1, 1, 2]
