from dataclasses import replace

import numpy as np
import pytest
from tests.support.sequences import PLAN, SequenceStage

from despina.errors import Unsupported
from despina.scheduling.outcome import Outcome
from despina.scheduling.pending import Pending
from despina.scheduling.sequence_plan import StateTensor
from despina_backends.base import Execution


def answer(stage: SequenceStage, outputs: dict) -> None:
    run = stage.running.pop(0)
    now = stage.clock.now_ns()
    run.done(Outcome(run.started_ns, Execution(outputs, now, now)))
    stage.clock.settle()


@pytest.mark.parametrize(
    ("visible", "asked", "got"),
    [
        (False, None, ["SUM"]),
        (False, ("SUM",), ["SUM"]),
        (True, None, ["NEW", "SUM"]),
        (True, ("NEW",), ["NEW"]),
        (True, ("SUM",), ["SUM"]),
    ],
)
def test_states_come_back_only_to_who_may_see_and_wants_them(clock, visible, asked, got) -> None:
    states = (replace(PLAN.states[0], visible=visible),)
    stage = SequenceStage(clock, replace(PLAN, states=states))
    pending = stage.submit(1, 3, "s", outputs=asked)
    stage.finish()
    assert sorted(pending.results) == got


@pytest.mark.parametrize(
    ("short", "what"), [("SUM", "output tensor 'SUM'"), ("NEW", "output state tensor 'NEW'")], ids=["output", "state"]
)
def test_an_output_that_is_too_short_fails_the_requests_it_has_no_row_for(clock, short, what) -> None:
    stage = SequenceStage(clock)
    stage.submit(1, 1, "s", settle=False)
    stage.submit(2, 2, "s")
    answer(stage, {name: np.ones((1 if name == short else 2, 1), "<i4") for name in ("SUM", "NEW")})
    assert stage.answered[0].error is None
    assert isinstance(stage.answered[1].error, Unsupported)
    assert stage.answered[1].error.message == (
        f"[request id: <id_unknown>] failed to split the {what} in responses: expected batch size of at least 2 in "
        "model output, got 1"
    )
    statistics = stage.statistics
    assert (statistics.success.count, statistics.failures["BACKEND"]) == (1, 1)
    assert (statistics.execution_count, statistics.inference_count, set(statistics.batches)) == (1, 1, {2})


def test_results_without_room_where_the_client_wants_them_are_no_inference(clock) -> None:
    def misplace(pending: Pending) -> None:
        pending.error = Unsupported("no room")

    stage = SequenceStage(clock)
    stage.submit(1, 1, "s", settle=False, on_done=misplace)
    stage.submit(2, 2, "s")
    stage.finish()
    statistics = stage.statistics
    assert (statistics.success.count, statistics.failures["BACKEND"]) == (1, 1)
    assert (statistics.execution_count, statistics.inference_count, set(statistics.batches)) == (1, 1, {2})


def test_the_writing_of_answers_belongs_to_no_output(clock) -> None:
    stage = SequenceStage(clock)
    for sequence in (1, 2):
        stage.submit(sequence, 1, "s", settle=False, on_done=lambda _: clock.advance(3))
    clock.settle()
    stage.finish()
    success, output = stage.statistics.success, stage.statistics.compute.output
    assert (success.count, success.ns) == (2, 0)
    assert (output.count, output.ns) == (2, 0)


def test_a_kept_state_does_not_keep_the_whole_batch(clock) -> None:
    stage = SequenceStage(clock)
    stage.submit(1, 1, "s", settle=False)
    stage.submit(2, 2, "s")
    stage.finish()
    stage.submit(2)
    (run,) = stage.running
    assert run.batch.inputs["STATE"][1].base is None


def test_a_state_that_an_execution_does_not_give_stays_as_it_was(clock) -> None:
    stage = SequenceStage(clock)
    stage.submit(1, 1, "s")
    answer(stage, {"SUM": np.ones((1, 1)), "NEW": np.full((1, 1), 7, "<i4")})
    for _ in range(2):
        stage.submit(1)
        assert stage.running[0].batch.inputs["STATE"][0].tolist() == [[7]]
        answer(stage, {"SUM": np.ones((1, 1))})
    assert [pending.error for pending in stage.answered] == [None] * 3


def test_states_may_change_their_shape(clock) -> None:
    state = StateTensor("STATE", "NEW", np.zeros((1, 1), "<i4"), variable=True)
    stage = SequenceStage(clock, replace(PLAN, states=(state,)))
    stage.submit(1, 1, "s")
    answer(stage, {"SUM": np.ones((1, 1)), "NEW": np.arange(3, dtype="<i4").reshape(1, 3)})
    stage.submit(1, settle=False)
    stage.submit(2, 2, "s")
    (run,) = stage.running
    assert (stage.ran[-1], [part.tolist() for part in run.batch.inputs["STATE"]]) == (
        [1, 0],
        [[[0, 1, 2]], [[0, 0, 0]]],
    )
    answer(stage, {"SUM": np.ones((2, 1)), "NEW": np.ones((2, 3), "<i4")})
    assert stage.ran[-1] == [0, 2]
    assert [part.shape for part in stage.running[0].batch.inputs["STATE"]] == [(1, 1), (1, 1)]


def test_the_moments_of_the_execution_are_noted(clock) -> None:
    stage = SequenceStage(clock)
    pending = stage.submit(1, 1, "s")
    started = clock.now_ns()
    clock.advance(5)
    stage.finish()
    assert (pending.started_ns, pending.infer_end_ns) == (started, clock.now_ns())
    assert stage.statistics.compute.input.ns + stage.statistics.compute.infer.ns == 5_000_000
