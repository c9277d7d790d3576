"""How many requests may wait, which are refused, and what becomes of them when the model goes."""

import pytest
from tests.support.sequences import BOTH, ONE_SLOT, SequenceStage, direct

from despina.errors import InvalidArgument, Unavailable
from despina.scheduling.request_queue import QueueLimits


def test_a_full_queue_refuses_at_once_and_tells_when_to_come_again(clock) -> None:
    stage = SequenceStage(clock, direct(1), limits=QueueLimits(rows=2))
    stage.submit(1, flags="s")
    stage.submit(2, flags="s")
    stage.submit(2)
    with pytest.raises(Unavailable, match=r"^\[request id: <id_unknown>\] Exceeds maximum queue size$") as caught:
        stage.submit(3, flags="s")
    assert caught.value.retry_after
    assert stage.statistics.rejected_queue_full == 1
    with pytest.raises(InvalidArgument, match="START flag"):
        SequenceStage(clock, direct(1)).submit(3)


@BOTH
def test_what_can_be_part_of_no_sequence_is_refused(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    with pytest.raises(InvalidArgument, match="must specify a non-zero or non-empty correlation ID"):
        stage.submit(0, flags="s")


def test_a_full_queue_is_measured_in_bytes_too(clock) -> None:
    stage = SequenceStage(clock, direct(1), limits=QueueLimits(byte_size=10))
    stage.submit(1, flags="s", byte_size=100)
    stage.submit(1, byte_size=100)
    with pytest.raises(Unavailable):
        stage.submit(1, byte_size=1)
    stage.finish_all()
    stage.submit(1, byte_size=1)
    stage.submit(1, byte_size=8)
    stage.submit(1, byte_size=2)
    with pytest.raises(Unavailable):
        stage.submit(1, byte_size=1)


@BOTH
def test_it_is_busy_until_everything_is_answered_and_live_sequences_do_not_count(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    stage.submit(1)
    calls = []
    stage.scheduler.when_idle(lambda: calls.append("idle"))
    stage.finish()
    assert (calls, stage.scheduler.busy) == ([], True)
    stage.finish()
    assert (calls, stage.scheduler.busy) == (["idle"], False)


@ONE_SLOT
def test_on_unloading_the_backlog_does_not_wait_for_a_sequence_that_nobody_can_end(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    stage.finish()
    for sequence in (2, 3):
        stage.submit(sequence, sequence, "s")
    calls = []
    stage.scheduler.when_idle(lambda: calls.append("idle"))
    clock.settle()
    stage.finish_all()
    assert (stage.sums(), calls) == ([1, 2, 3], ["idle"])


@BOTH
def test_close_leaves_no_timer(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(1, flags="s")
    stage.finish()
    assert [timer for timer in clock.timers if not timer.cancelled]
    stage.scheduler.close()
    assert not [timer for timer in clock.timers if not timer.cancelled]
