from dataclasses import replace

import numpy as np
import pytest
from tests.support.sequences import PLAN

from despina.scheduling.pending import Pending
from despina.scheduling.sequence import Sequence, Slot
from despina.scheduling.sequence_plan import FlagControl, StateTensor
from despina.scheduling.sequence_step import Steps

VARIABLE = StateTensor("STATE", "NEW", np.zeros((1, 1), "<i4"), variable=True)


def slot_with(steps: Steps, inputs: dict, outputs=None, start: bool = False) -> Slot:
    slot = Slot(None, 0)
    slot.sequence = Sequence(5, steps.initial)
    slot.sequence.queue.append(Pending(inputs, 1, print, outputs=outputs, correlation_id=5, sequence_start=start))
    return slot


def test_a_step_has_the_clients_tensors_the_controls_and_the_state() -> None:
    steps = Steps(PLAN)
    slot = slot_with(steps, {"IN": np.ones((1, 1))})
    slot.sequence.states = (np.full((1, 1), 42, "<i4"),)
    step = steps.make(slot, 7)
    assert sorted(step.inputs) == ["CORRID", "END", "IN", "READY", "START", "STATE"]
    assert step.inputs["STATE"].item() == 42
    assert (step.queued_ns, len(slot.sequence.queue)) == (7, 0)


def test_start_puts_the_state_back_to_the_initial_one() -> None:
    initial = np.full((1, 1), 1000, "<i4")
    steps = Steps(replace(PLAN, states=(StateTensor("STATE", "NEW", initial),)))
    slot = slot_with(steps, {"IN": np.ones((1, 1))}, start=True)
    slot.sequence.states = (np.full((1, 1), 42, "<i4"),)
    assert steps.make(slot, 0).inputs["STATE"].item() == 1000


@pytest.mark.parametrize(
    ("array", "nothing"),
    [
        (np.ones((1, 2, 3), "<f4"), np.zeros((1, 2, 3), "<f4")),
        (np.ones((1, 2), "?"), np.zeros((1, 2), "?")),
        (np.full((1, 2), b"abc", object), np.full((1, 2), b"", object)),
    ],
)
def test_rows_without_a_request_are_zero_in_the_shapes_of_a_live_one(array, nothing) -> None:
    steps = Steps(PLAN)
    batch = steps.gather([None, steps.make(slot_with(steps, {"IN": array}), 0), None])
    first, middle, last = batch.inputs["IN"]
    assert batch.rows == 3
    assert middle is array
    for part in (first, last):
        assert (part.dtype, part.tolist()) == (nothing.dtype, nothing.tolist())


def test_rows_without_a_request_carry_the_false_values_of_the_configuration() -> None:
    ready = FlagControl("READY", "R", np.full((1, 1), 7, "<i4"), np.full((1, 1), 9, "<i4"))
    steps = Steps(replace(PLAN, flags=(ready,)))
    batch = steps.gather([None, steps.make(slot_with(steps, {"IN": np.ones((1, 1))}), 0)])
    assert [part.item() for part in batch.inputs["R"]] == [7, 9]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ([None], None),
        ([("SUM",)], ("SUM", "NEW")),
        ([("NEW",)], ("NEW",)),
        ([("SUM",), ("PLAIN",)], ("SUM", "PLAIN", "NEW")),
        ([("SUM",), None], None),
    ],
)
def test_the_model_is_asked_for_what_somebody_wants_and_for_the_states(asked, wanted) -> None:
    steps = Steps(PLAN)
    rows = [steps.make(slot_with(steps, {"IN": np.ones((1, 1))}, outputs), 0) for outputs in asked]
    assert steps.gather(rows).outputs == wanted


def test_states_of_different_shapes_keep_requests_apart() -> None:
    steps = Steps(replace(PLAN, states=(VARIABLE,)))
    sequence = Sequence(5, steps.initial)
    pending = Pending({}, 1, print, shape_key="k")
    short = steps.shape_key(sequence, pending)
    sequence.states = (np.zeros((1, 3), "<i4"),)
    assert steps.shape_key(sequence, pending) != short
    assert steps.shape_key(sequence, Pending({}, 1, print, shape_key="k", sequence_start=True)) == short
    assert Steps(PLAN).shape_key(sequence, pending) == "k"
