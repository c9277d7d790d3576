"""Sequences begin, go on with their state, and end."""

import logging
from dataclasses import replace

import pytest
from tests.support.sequences import BOTH, SequenceStage, direct

from despina.errors import Internal, InvalidArgument
from despina.scheduling.outcome import Outcome
from despina.scheduling.sequence_step import Steps
from despina_backends.base import Execution


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
