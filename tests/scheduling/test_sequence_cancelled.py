"""Clients of sequences that hang up."""

import pytest
from tests.support.sequences import BOTH, ONE_SLOT, SequenceStage

from despina.errors import Cancelled, InvalidArgument


@ONE_SLOT
def test_a_client_that_hangs_up_ends_its_sequence_and_frees_the_slot(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    gone, stranded = stage.submit(1, 2), stage.submit(1, 3)
    stage.submit(2, 10, "s")
    stage.scheduler.request_gone(gone)
    assert isinstance(gone.error, Cancelled)
    assert gone.error.message == ""
    assert isinstance(stranded.error, Cancelled)
    assert "sequence 1 of model 'm'" in stranded.error.message
    assert stage.statistics.failures["CANCELED"] == 2
    with pytest.raises(InvalidArgument, match="START flag"):
        stage.submit(1)
    clock.settle()
    stage.finish_all()
    assert stage.sums() == [None, None, 1, 10]
    assert stage.statistics.pending == 0


@ONE_SLOT
def test_a_client_that_hangs_up_in_the_backlog_takes_its_sequence_along(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="se")
    stage.submit(2, flags="s")
    gone = stage.submit(2)
    stage.submit(3, 7, "se")
    stage.scheduler.request_gone(gone)
    stage.finish_all()
    assert stage.ran == [[1], [3]]


@BOTH
def test_hanging_up_while_the_request_runs_changes_nothing(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    running = stage.submit(1, 1, "s")
    stage.scheduler.request_gone(running)
    stage.submit(1, 2, "e")
    stage.finish_all()
    assert stage.sums() == [1, 3]


@BOTH
def test_hanging_up_after_the_answer_changes_nothing(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    done = stage.submit(1, 1, "s")
    stage.finish_all()
    stage.scheduler.request_gone(done)
    stage.submit(1, 2, "e")
    stage.finish_all()
    assert stage.sums() == [1, 3]
