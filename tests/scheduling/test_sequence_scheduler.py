import logging
from dataclasses import replace

import pytest
from tests.support.sequences import PLAN, SequenceStage, direct, oldest

from despina.errors import Cancelled, Internal, InvalidArgument, Unavailable
from despina.scheduling.outcome import Outcome
from despina.scheduling.permits import Permits
from despina.scheduling.rate_limiter import Demand, Permit, RateLimiter, Resource
from despina.scheduling.request_queue import QueueLimits
from despina.scheduling.sequence_scheduler import EXPIRED
from despina.scheduling.sequence_step import Steps
from despina_backends.base import Execution

BOTH = pytest.mark.parametrize("plan", [direct(), oldest()], ids=["direct", "oldest"])
ONE_SLOT = pytest.mark.parametrize("plan", [direct(1), oldest(1)], ids=["direct", "oldest"])
IDLE_MS = PLAN.idle_ns / 1_000_000


# ------------------------------------------------------------------------------------------------------ start and end


@BOTH
def test_the_state_goes_from_request_to_request(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    for value, flags in ((1, "s"), (2, ""), (3, ""), (4, "e")):
        stage.submit(5, value, flags)
        stage.finish()
    assert stage.sums() == [1, 3, 6, 10]


@BOTH
def test_a_first_request_without_start_is_refused_and_not_counted(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    with pytest.raises(InvalidArgument) as caught:
        stage.submit(9)
    assert caught.value.message == (
        "inference request for sequence 9 to model 'm' must specify the START flag on the first request of the sequence"
    )
    assert (stage.statistics.fail.count, stage.statistics.pending, stage.scheduler.busy) == (0, 0, False)


@BOTH
def test_after_end_the_id_is_unknown(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(9, flags="se")
    with pytest.raises(InvalidArgument, match="START flag"):
        stage.submit(9)
    stage.finish()
    with pytest.raises(InvalidArgument, match="START flag"):
        stage.submit(9)


@BOTH
def test_the_id_of_an_ending_sequence_may_begin_anew_at_once(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(9, 1, "s")
    stage.submit(9, 2, "e")
    stage.submit(9, 40, "s")
    stage.submit(9, 2, "e")
    stage.finish_all()
    assert sorted(stage.sums()) == [1, 3, 40, 42]


@BOTH
def test_start_on_a_live_sequence_begins_it_anew_in_its_slot(plan, clock, caplog) -> None:
    stage = SequenceStage(clock, plan)
    with caplog.at_level(logging.WARNING):
        for value, flags in ((5, "s"), (7, "s"), (1, "e")):
            stage.submit(6, value, flags)
    stage.finish_all()
    assert stage.sums() == [5, 7, 8]
    assert stage.ran == [[6]] * 3
    assert "sequence 6 for model 'm' has a conflict" in caplog.text


def test_an_integer_and_a_string_are_two_ids(clock) -> None:
    stage = SequenceStage(clock, replace(direct(), correlation=None))
    stage.submit(5, flags="s", settle=False)
    with pytest.raises(InvalidArgument, match="sequence 5 to model"):
        stage.submit("5")


@BOTH
def test_requests_sent_without_waiting_run_one_after_another(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    for value, flags in ((1, "s"), (2, ""), (3, ""), (4, "e")):
        stage.submit(3, value, flags, settle=False)
    clock.settle()
    stage.finish_all()
    assert (stage.ran, stage.sums()) == ([[3]] * 4, [1, 3, 6, 10])
    assert stage.statistics.execution_count == 4


@BOTH
def test_sequences_keep_their_own_state(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    for round_number in range(4):
        for sequence in (11, 12, 13):
            flags = {0: "s", 3: "e"}.get(round_number, "")
            stage.submit(sequence, sequence * (round_number + 1), flags, settle=False)
        clock.settle()
        stage.finish()
    assert stage.sums() == [11, 12, 13, 33, 36, 39, 66, 72, 78, 110, 120, 130]


@BOTH
def test_short_models_that_run_on_the_loop_work_too(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.inline = True
    for value, flags in ((1, "s"), (2, ""), (3, "e")):
        stage.submit(3, value, flags, settle=False)
    clock.settle()
    assert stage.sums() == [1, 3, 6]
    assert not stage.scheduler.busy


@BOTH
def test_a_failed_execution_leaves_the_sequence_and_its_state(plan, clock) -> None:
    stage = SequenceStage(clock, plan)
    stage.submit(3, 5, "s")
    stage.finish()
    stage.submit(3, 6)
    stage.finish(error=Internal("boom"))
    stage.submit(3, 7)
    stage.finish()
    assert stage.sums() == [5, None, 12]
    assert stage.statistics.failures["BACKEND"] == 1


# ------------------------------------------------------------------------------------------------------------ backlog


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


# --------------------------------------------------------------------------------------------------------------- idle


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


# --------------------------------------------------------------------------------------------------------- who hangs up


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


# ------------------------------------------------------------------------------------------------- limits and the end


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


# ------------------------------------------------------------------------------------------------------------- others


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


def test_the_environment_holds_oldest_instances_until_enough_is_handed_on(clock) -> None:
    stage = SequenceStage(clock, oldest(4), hold_requests=3)
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


@BOTH
def test_clients_hear_of_what_nobody_foresaw_and_the_instance_goes_on(plan, clock, caplog, monkeypatch) -> None:
    stage = SequenceStage(clock, plan)
    with monkeypatch.context() as broken:
        broken.setattr(Steps, "gather", lambda steps, rows: rows["oops"])
        for sequence in (1, 2):
            stage.submit(sequence, 1, "s", settle=False)
        clock.settle()
    third = stage.submit(1, 5)
    run = stage.running.pop()
    run.done(Outcome(run.started_ns, Execution({"SUM": [[1]], "NEW": [[1]]}, 0, 0)))
    clock.settle()
    assert [str(pending.error)[:20] for pending in stage.answered] == ["unexpected failure: "] * 3
    assert str(third.error) == "unexpected failure: 'list' object has no attribute 'ndim'"
    assert caplog.text.count("could not be put together or answered") == 2
    stage.submit(1, 7, "e")
    stage.finish()
    assert stage.sums()[-1] == 7
    assert (stage.statistics.pending, stage.scheduler.busy) == (0, False)
