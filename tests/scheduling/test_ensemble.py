"""An ensemble over models that answer when they are told to."""

import numpy as np
import pytest
from tests.support.ensembles import FAN

from despina.errors import Cancelled, DespinaError, InvalidArgument, NotFound, Unavailable
from despina.scheduling.ensemble import add_sequence_parameters
from despina.scheduling.pending import Pending


def test_a_step_starts_when_its_tensors_exist(play) -> None:
    it = play(FAN)
    pending = it.submit()
    assert [len(model.calls) for model in it.models.values()] == [1, 0, 0, 0]
    it.models["a"].answer()
    assert [len(model.calls) for model in it.models.values()] == [0, 1, 1, 0]
    it.models["c"].answer()
    assert it.models["d"].calls == []
    it.models["b"].answer()
    it.models["d"].answer()
    assert it.answered == [pending]
    assert pending.results["out"].tolist() == [[5]]  # (0+1)+1 on both sides, added, +1


def test_tensors_are_handed_over_and_not_copied(play) -> None:
    it = play()
    pending = it.submit()
    assert it.models["a"].seen[0].inputs["x0"] is pending.inputs["in"]
    it.models["a"].answer()
    made = it.models["b"].seen[0].inputs["x0"]
    it.models["b"].answer()
    it.models["c"].answer()
    assert made.tolist() == [[1]]
    assert set(pending.results) == {"out"}


def test_steps_that_answer_at_once_need_no_further_turn(play) -> None:
    it = play(FAN)
    for model in it.models.values():
        model.at_once = True
    pending = it.submit()
    assert pending.results["out"].tolist() == [[5]]
    assert not it.scheduler.busy


def test_only_the_steps_of_the_wanted_outputs_run(play) -> None:
    it = play(FAN, ("left", "out"))
    pending = it.submit(outputs=("left",))
    it.models["a"].answer()
    assert it.models["c"].calls == []
    it.models["b"].answer()
    assert set(pending.results) == {"left"}
    assert it.models["b"].seen[0].outputs == ("y_left",)


@pytest.mark.parametrize("joins", [False, True])
def test_an_output_that_is_an_input_needs_no_step(play, joins) -> None:
    it = play(outputs=("out", "in"), joins=joins)
    pending = it.submit(outputs=("in",))
    it.clock.advance(0)
    assert it.answered == [pending]
    assert pending.results["in"].tolist() == [[0]]
    assert not np.shares_memory(pending.results["in"], pending.inputs["in"])
    assert pending.response_parameters is None
    assert (it.models["a"].calls, it.statistics.success.count, it.scheduler.busy) == ([], 1, False)


def test_an_output_that_is_an_input_is_a_copy_beside_others_too(play) -> None:
    it = play(outputs=("out", "in"))
    for model in it.models.values():
        model.at_once = True
    pending = it.submit()
    assert set(pending.results) == {"out", "in"}
    assert not np.shares_memory(pending.results["in"], pending.inputs["in"])


def test_what_a_request_says_about_itself_goes_to_every_step(play) -> None:
    it = play()
    said = {
        "id": "r",
        "priority": 2,
        "timeout_us": 7,
        "correlation_id": 9,
        "sequence_start": True,
        "sequence_end": True,
    }
    pending = it.submit(parameters={"k": "v"}, **said)
    it.models["a"].answer()
    for request in (it.models["a"].seen[0], it.models["b"].seen[0]):
        assert {name: getattr(request, name) for name in said} == said
        assert request.parameters == {"k": "v"}
    assert pending.response_parameters == {"sequence_id": 9, "sequence_start": True, "sequence_end": True}


def test_answers_without_a_sequence_say_so(play) -> None:
    pending = play().submit()
    assert pending.response_parameters == {"sequence_id": 0, "sequence_start": False, "sequence_end": False}


@pytest.mark.parametrize(
    ("given", "answered"), [((1 << 64) - 1, -1), ((1 << 63) - 1, (1 << 63) - 1), ("", ""), ("a", "a")]
)
def test_an_answer_has_the_correlation_id_as_64_bits_with_a_sign_or_as_text(
    given: int | str, answered: int | str
) -> None:
    pending = Pending({}, 1, lambda _: None, correlation_id=given)
    add_sequence_parameters(pending)
    assert (pending.response_parameters or {})["sequence_id"] == answered


def test_an_optional_input_that_was_left_out_is_left_out_of_the_steps(play) -> None:
    it = play((("a", "in more", "out"),))
    it.submit(inputs=("in",))
    assert set(it.models["a"].seen[0].inputs) == {"x0"}


@pytest.mark.parametrize(
    "error",
    [InvalidArgument("bad rows"), Unavailable("Exceeds maximum queue size", 3.0), NotFound("no such model")],
)
@pytest.mark.parametrize("refused", [True, False])
def test_the_error_of_a_step_ends_the_request_and_keeps_its_kind(play, error: DespinaError, refused: bool) -> None:
    it = play()
    it.models["b"].refuses = error if refused else None
    pending = it.submit()
    it.models["a"].answer()
    if not refused:
        it.models["b"].answer(error)
    assert type(pending.error) is type(error)
    assert str(pending.error) == f"in ensemble 'e', {error.message}"
    assert getattr(pending.error, "retry_after", None) == getattr(error, "retry_after", None)
    assert it.statistics.failures == {"REJECTED": 0, "CANCELED": 0, "BACKEND": 0, "OTHER": 2}
    assert it.models["c"].calls == []
    assert not it.scheduler.busy


def test_a_first_step_that_refuses_answers_the_request(play) -> None:
    it = play()
    it.models["a"].refuses = Unavailable("full")
    pending = it.submit()
    assert it.answered == [pending]
    assert str(pending.error) == "in ensemble 'e', full"


def test_a_step_whose_model_is_gone_is_named(play) -> None:
    it = play()
    pending = it.submit()
    del it.models["b"]
    it.models["a"].answer()
    assert str(pending.error) == "in ensemble 'e', Request for unknown model: 'b' is not found"


def test_a_failure_gives_up_the_steps_beside_it(play) -> None:
    it = play(FAN)
    it.submit()
    it.models["a"].answer()
    (_, other), *_ = it.models["c"].calls
    it.models["b"].answer(InvalidArgument("bad"))
    assert it.models["c"].gone == [other]
    it.models["c"].answer()
    assert len(it.answered) == 1


def test_a_client_that_hangs_up_stops_the_request_between_steps(play) -> None:
    it = play()
    pending = it.submit()
    it.scheduler.request_gone(pending)
    assert it.models["a"].gone == [it.models["a"].calls[0][1]]
    assert isinstance(pending.error, Cancelled)
    it.models["a"].answer()
    assert it.models["b"].calls == []
    assert it.statistics.failures["CANCELED"] == 1
    assert not it.scheduler.busy
    it.scheduler.request_gone(pending)
    assert it.statistics.fail.count == 1


def test_success_counts_the_request_and_the_time_of_all_steps(play) -> None:
    it = play(batches=True)
    it.submit(3)
    it.clock.advance(1)
    for model in it.models.values():
        model.answer()
    statistics = it.statistics
    assert (statistics.success.count, statistics.inference_count, statistics.execution_count) == (1, 3, 1)
    assert statistics.queue.count == 1
    assert (statistics.compute.input.ns, statistics.compute.infer.ns) == (3 * 7, 3 * 13)
    assert list(statistics.batches) == [3]
    assert it.answered[0].compute_ns == (21, 39, 3 * (it.clock.now_ns() - 120))


def test_an_ensemble_of_an_ensemble_adds_up_what_the_inner_one_took(play) -> None:
    it = play((("a", "in", "out"),))
    it.submit()
    _, inner = it.models["a"].calls.pop()
    inner.compute_ns = (1, 2, 3)
    inner.succeed({"y_out": np.zeros(1)})
    assert it.answered[0].compute_ns == (1, 2, 3)


def test_an_ensemble_that_does_not_batch_counts_one(play) -> None:
    it = play(batches=False)
    it.submit(1)
    for model in it.models.values():
        model.answer()
    assert it.statistics.inference_count == 1


def test_max_inflight_requests_bounds_every_step(play) -> None:
    it = play(max_inflight=2)
    for _ in range(3):
        it.submit()
    assert len(it.models["a"].calls) == 2
    it.models["a"].answer()
    assert (len(it.models["a"].calls), len(it.models["b"].calls)) == (2, 1)
    it.models["a"].answer()
    it.models["a"].answer()
    assert len(it.models["b"].calls) == 2
    it.models["b"].answer()
    assert (len(it.models["b"].calls), len(it.models["c"].calls)) == (2, 1)


def test_a_request_that_ended_while_it_waited_for_room_takes_none(play) -> None:
    it = play(max_inflight=1)
    first, second, third = (it.submit() for _ in range(3))
    it.scheduler.request_gone(second)
    it.models["a"].answer()
    assert len(it.models["a"].calls) == 1
    it.models["a"].answer()
    it.models["b"].answer()
    it.models["b"].answer()
    it.models["c"].answer()
    it.models["c"].answer()
    assert [pending.error is None for pending in (first, second, third)] == [True, False, True]


def test_a_refusal_leaves_its_room_to_the_next(play) -> None:
    it = play(max_inflight=1)
    it.models["a"].refuses = Unavailable("full")
    it.submit()
    it.models["a"].refuses = None
    it.submit()
    assert len(it.models["a"].calls) == 1


def test_it_is_idle_when_everything_is_answered(play) -> None:
    it = play((("a", "in", "out"),))
    told: list[str] = []
    it.scheduler.when_idle(lambda: told.append("first"))
    it.clock.settle()
    assert told == ["first"]
    it.submit()
    assert it.scheduler.busy
    it.scheduler.when_idle(lambda: told.append("second"))
    it.clock.settle()
    assert told == ["first"]
    it.models["a"].answer()
    it.clock.settle()
    assert told == ["first", "second"]


def test_what_a_step_does_not_give_is_left_out_of_later_steps_and_of_the_answer(play) -> None:
    it = play((("a", "in", "t"), ("b", "in", "u"), ("c", "t u", "out")), ("out", "t"))
    pending = it.submit()
    it.models["a"].calls[0][1].succeed({})
    it.models["b"].answer()
    assert set(it.models["c"].seen[0].inputs) == {"x1"}
    it.models["c"].answer()
    assert set(pending.results) == {"out"}


@pytest.mark.parametrize(("batches", "rank", "shape"), [(True, 1, (1, 1)), (True, 2, (1, 1, 1)), (False, 1, (1,))])
def test_outputs_have_the_batch_dimension_of_the_ensemble(play, batches, rank, shape) -> None:
    it = play((("a", "in", "out"),), batches=batches, ranks={"out": rank})
    pending = it.submit()
    it.models["a"].answer()
    assert pending.results["out"].shape == shape


@pytest.mark.parametrize("joins", [False, True])
def test_an_output_that_is_not_there_any_more_is_refused(play, joins: bool) -> None:
    it = play(joins=joins)
    with pytest.raises(InvalidArgument) as caught:
        it.submit(outputs=("before", "out"))
    assert str(caught.value) == "unexpected inference output 'before' for model 'e'"
    assert not it.scheduler.busy
