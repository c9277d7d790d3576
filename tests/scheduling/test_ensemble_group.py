"""Requests of an ensemble that came in the same moment go through its steps as one."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.support.ensembles import CHAIN, FAN, Play

from despina.errors import Cancelled, InvalidArgument, Unavailable
from despina.scheduling.ensemble_group import MAX_JOINED_BYTES
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import QueueFull


def joining(play, steps=CHAIN, rows: int = 8, **graph: object) -> Play:
    it = play(steps, joins=True, **graph)
    for model in it.models.values():
        model.step_rows = rows
    return it


def send(it: Play, *values: float, **more: object) -> list[Pending]:
    """A request with a row for each of the values."""
    requests = [Pending({"in": np.full((1, 1), value)}, 1, it.answered.append, **more) for value in values]
    for pending in requests:
        it.scheduler.submit(pending)
    return requests


def answer_all(it: Play) -> None:
    it.clock.settle()
    for model in it.models.values():
        while model.calls:
            model.answer()


def sizes(it: Play, model: str = "a") -> list[int]:
    return [request.count for request in it.models[model].seen]


@pytest.mark.parametrize("count", [2, 8])
def test_requests_of_a_moment_are_one_to_every_step_and_each_gets_its_own(play, count: int) -> None:
    it = joining(play)
    values = [float(number) for number in range(count)]
    requests = send(it, *values)
    assert sizes(it) == []
    answer_all(it)
    assert [sizes(it, model) for model in "abc"] == [[count]] * 3
    assert it.models["b"].seen[0].rows == count
    assert it.answered == requests
    assert [pending.results["out"].tolist() for pending in requests] == [[[value + 3]] for value in values]
    assert not it.scheduler.busy


def test_each_request_is_counted(play) -> None:
    it = joining(play)
    requests = [Pending({"in": np.zeros((2, 1))}, 2, it.answered.append) for _ in range(3)]
    for pending in requests:
        it.scheduler.submit(pending)
    answer_all(it)
    counted = it.statistics
    assert (counted.success.count, counted.queue.count, counted.execution_count, counted.inference_count) == (
        3,
        3,
        3,
        6,
    )
    assert {rows: times.count for rows, times in counted.batches.items()} == {2: 3}
    assert counted.queue.ns == 0
    assert (counted.compute.input.ns, counted.compute.infer.ns) == (3 * 3 * 7, 3 * 3 * 13)


def test_a_batch_of_no_rows_counts_as_one(play) -> None:
    it = joining(play)
    it.scheduler.submit(Pending({"in": np.zeros((0, 1))}, 8, it.answered.append, empty=True))
    answer_all(it)
    assert (it.statistics.inference_count, it.statistics.execution_count) == (1, 1)
    assert list(it.statistics.batches) == [1]


def test_a_request_alone_is_none_of_a_group(play) -> None:
    it = joining(play)
    (pending,) = send(it, 1.0)
    it.clock.settle()
    assert it.models["a"].seen[0].inputs["x0"] is pending.inputs["in"]
    assert sizes(it) == [1]


@pytest.mark.parametrize(
    "own",
    [
        {"id": "r"},
        {"parameters": {"k": 1}},
        {"priority": 1},
        {"timeout_us": 5},
        {"correlation_id": 1},
        {"sequence_start": True},
        {"sequence_end": True},
        {"empty": True},
        {"trace": SimpleNamespace(child=lambda: None)},
    ],
)
def test_who_says_something_about_itself_goes_alone_and_in_order(play, own: dict[str, object]) -> None:
    it = joining(play)
    send(it, 1.0, 2.0)
    send(it, 3.0, 4.0, **own)
    send(it, 5.0, 6.0, 7.0)
    it.clock.settle()
    assert sizes(it) == [2, 1, 1, 3]
    assert it.models["a"].seen[1].inputs["x0"].tolist() == [[3.0]]


def test_requests_that_differ_do_not_go_together(play) -> None:
    it = joining(play, FAN, outputs=("out", "left"))
    send(it, 1.0, 2.0)
    send(it, 1.0, 2.0, outputs=("left",))
    send(it, 1.0, 2.0, shape_key="other", outputs=("left",))
    for _ in range(2):
        it.scheduler.submit(Pending({"in": np.zeros((3, 1))}, 3, it.answered.append))
    it.clock.settle()
    assert sizes(it) == [2, 2, 2, 2]
    assert [request.rows for request in it.models["a"].seen] == [2, 2, 2, 6]


def test_no_more_go_together_than_every_step_takes(play) -> None:
    it = joining(play)
    it.models["c"].step_rows = 5
    for _ in range(5):
        it.scheduler.submit(Pending({"in": np.zeros((2, 1))}, 2, it.answered.append))
    it.clock.settle()
    assert sizes(it) == [2, 2, 1]


@pytest.mark.parametrize("rows", [0, 1])
def test_a_step_that_looks_at_requests_one_by_one_gets_them_so(play, rows: int) -> None:
    it = joining(play)
    it.models["c"].step_rows = rows
    send(it, 1.0, 2.0)
    it.clock.settle()
    assert sizes(it) == [1, 1]


@pytest.mark.parametrize("graph", [{"max_inflight": 2}, {"batches": False}])
def test_some_ensembles_start_each_request_at_once(play, graph: dict[str, object]) -> None:
    it = joining(play, **graph)
    send(it, 1.0, 2.0)
    assert sizes(it) == [1, 1]


def test_inputs_that_cannot_be_put_together_go_by_themselves(play) -> None:
    it = joining(play)
    for width in (1, 2):
        it.scheduler.submit(Pending({"in": np.zeros((1, width))}, 1, it.answered.append))
    answer_all(it)
    assert [pending.results["out"].shape for pending in it.answered] == [(1, 1), (1, 2)]


def test_a_step_whose_model_is_gone_fails_each_of_them(play) -> None:
    it = joining(play)
    requests = send(it, 1.0, 2.0)
    del it.models["c"]
    answer_all(it)
    assert {str(pending.error) for pending in requests} == {
        "in ensemble 'e', Request for unknown model: 'c' is not found"
    }


def test_the_error_of_a_step_is_that_of_all_and_counts_for_each(play) -> None:
    it = joining(play, FAN)
    requests = send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["a"].answer()
    (_, beside), *_ = it.models["c"].calls
    it.models["b"].answer(Unavailable("broken"))
    assert [str(pending.error) for pending in requests] == ["in ensemble 'e', broken"] * 2
    assert it.models["c"].gone == [beside]
    assert it.statistics.failures["OTHER"] == 4
    assert it.answered == requests
    assert not it.scheduler.busy


def test_a_full_queue_refuses_all(play) -> None:
    it = joining(play)
    it.models["b"].refuses_many = QueueFull("full", 2.0)
    requests = send(it, 1.0, 2.0)
    answer_all(it)
    assert [str(pending.error) for pending in requests] == ["in ensemble 'e', full"] * 2
    assert requests[0].error.retry_after == 2.0


def test_what_a_step_does_not_take_together_each_sends_by_itself(play) -> None:
    it = joining(play)
    send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["b"].refuses_many = InvalidArgument("rows")
    answer_all(it)
    assert (sizes(it, "b"), sizes(it, "c")) == ([1, 1], [1, 1])
    assert [pending.results["out"].tolist() for pending in it.answered] == [[[4.0]], [[5.0]]]
    assert it.statistics.success.count == 2


@pytest.mark.parametrize("outputs", [None, ("out",)])
def test_a_step_whose_new_version_takes_less_gets_each_by_itself(play, outputs: tuple[str, ...] | None) -> None:
    it = joining(play)
    send(it, 1.0, 2.0, outputs=outputs)
    it.clock.settle()
    it.models["c"].step_rows = 0
    answer_all(it)
    assert (sizes(it, "b"), sizes(it, "c")) == ([2], [1, 1])
    assert [pending.results["out"].tolist() for pending in it.answered] == [[[4.0]], [[5.0]]]
    assert it.answered[1].compute_ns[:2] == (21, 39)


def test_rows_beyond_those_of_the_requests_are_nobody_s(play) -> None:
    it = joining(play)
    requests = send(it, 1.0, 2.0)
    it.clock.settle()
    _, sent = it.models["a"].calls.pop()
    sent.started_ns, sent.input_end_ns, sent.infer_end_ns = 100, 107, 120
    sent.succeed({"y_t": np.array([[5.0], [6.0], [7.0]])})
    assert sizes(it, "b") == [1, 1]
    answer_all(it)
    assert [pending.results["out"].tolist() for pending in requests] == [[[7.0]], [[8.0]]]
    assert [pending.compute_ns[:2] for pending in requests] == [(21, 39)] * 2


def test_a_request_without_rows_of_an_output_fails_and_the_others_go_on(play) -> None:
    it = joining(play)
    first, second = send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["a"].calls.pop()[1].succeed({"y_t": np.array([[5.0]])})
    answer_all(it)
    assert first.results["out"].tolist() == [[7.0]]
    assert str(second.error) == (
        "in ensemble 'e', [request id: <id_unknown>] failed to split the output tensor 'y_t' in responses: expected "
        "batch size of at least 2 in model output, got 1"
    )
    assert not it.scheduler.busy


def test_steps_beside_the_one_that_parts_a_group_are_waited_for(play) -> None:
    it = joining(play, FAN)
    requests = send(it, 1.0, 2.0, 3.0)
    it.clock.settle()
    it.models["a"].answer()
    it.models["b"].calls.pop()[1].succeed({"y_left": np.array([[5.0], [6.0]])})
    it.models["c"].answer()
    answer_all(it)
    # a: +1, c: +1; the last step adds both of its inputs and 1.
    assert [pending.results["out"].tolist() for pending in requests[:2]] == [[[9.0]], [[11.0]]]
    assert requests[2].error is not None
    assert not it.scheduler.busy


def test_a_group_that_parts_has_what_the_steps_beside_gave(play) -> None:
    it = joining(play, FAN)
    requests = send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["a"].answer()
    it.models["c"].answer()
    it.models["b"].calls.pop()[1].succeed({"y_left": np.array([[5.0], [6.0], [7.0]])})
    assert sizes(it, "d") == [1, 1]
    answer_all(it)
    assert [pending.results["out"].tolist() for pending in requests] == [[[9.0]], [[11.0]]]
    assert not it.scheduler.busy


def test_a_failure_beside_a_parted_group_is_that_of_all(play) -> None:
    it = joining(play, FAN)
    requests = send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["a"].answer()
    it.models["b"].calls.pop()[1].succeed({"y_left": np.zeros((3, 1))})
    it.models["c"].answer(Unavailable("broken"))
    assert [str(pending.error) for pending in requests] == ["in ensemble 'e', broken"] * 2
    assert not it.scheduler.busy


def test_a_client_that_hangs_up_leaves_a_group_to_the_others(play) -> None:
    it = joining(play)
    before, first, second = send(it, 1.0, 2.0, 3.0)
    it.scheduler.request_gone(before)
    it.clock.settle()
    assert sizes(it) == [2]
    it.scheduler.request_gone(first)
    assert isinstance(first.error, Cancelled)
    assert it.models["a"].gone == []
    answer_all(it)
    assert it.answered == [before, first, second]
    assert second.results["out"].tolist() == [[6.0]]
    assert (it.statistics.failures["CANCELED"], it.statistics.success.count) == (2, 1)


def test_a_group_whose_clients_all_hung_up_is_given_up(play) -> None:
    it = joining(play)
    requests = send(it, 1.0, 2.0)
    it.clock.settle()
    for pending in requests:
        it.scheduler.request_gone(pending)
    assert len(it.models["a"].gone) == 1
    answer_all(it)
    assert sizes(it, "b") == []
    assert it.statistics.failures == {"REJECTED": 0, "CANCELED": 2, "BACKEND": 0, "OTHER": 0}
    assert not it.scheduler.busy


def test_who_hung_up_before_a_group_parts_does_not_go_on(play) -> None:
    it = joining(play)
    gone, other = send(it, 1.0, 2.0)
    it.clock.settle()
    it.scheduler.request_gone(gone)
    it.models["b"].step_rows = 0
    it.models["a"].answer()
    assert sizes(it, "b") == [1]
    answer_all(it)
    assert it.answered == [gone, other]
    assert not it.scheduler.busy


def test_who_hangs_up_after_a_group_parted_takes_only_its_own_steps_along(play) -> None:
    it = joining(play)
    gone, other = send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["b"].step_rows = 0
    it.models["a"].answer()
    (_, sent), _ = it.models["b"].calls
    it.scheduler.request_gone(gone)
    assert it.models["b"].gone == [sent]
    answer_all(it)
    assert it.answered == [gone, other]
    assert (sizes(it, "c"), it.statistics.failures["CANCELED"]) == ([1], 1)
    assert not it.scheduler.busy


def test_an_output_gets_its_batch_dimension_for_each_request(play) -> None:
    it = joining(play, (("a", "in", "out"),), ranks={"out": 1})
    send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["a"].calls.pop()[1].succeed({"y_out": np.array([5.0, 6.0])})
    assert [pending.results["out"].tolist() for pending in it.answered] == [[[5.0]], [[6.0]]]


def test_it_is_busy_with_what_has_not_started(play) -> None:
    it = joining(play, (("a", "in", "out"),))
    send(it, 1.0)
    told: list[str] = []
    it.scheduler.when_idle(lambda: told.append("idle"))
    it.clock.settle()
    assert it.scheduler.busy
    it.models["a"].answer()
    it.clock.settle()
    assert told == ["idle"]


def test_a_group_that_parts_at_one_reader_of_a_tensor_counts_for_those_after_it(play) -> None:
    steps = (("a", "in", "t"), ("b", "in", "s"), ("c", "t", "left"), ("d", "t s", "right"))
    it = joining(play, steps, outputs=("left", "right"))
    requests = send(it, 1.0, 2.0)
    it.clock.settle()
    it.models["c"].step_rows = 0
    it.models["a"].answer()
    answer_all(it)
    assert (sizes(it, "c"), sizes(it, "d")) == ([1, 1], [1, 1])
    assert [pending.results["right"].tolist() for pending in requests] == [[[5.0]], [[7.0]]]
    assert not it.scheduler.busy


def test_who_is_given_up_while_the_others_of_the_moment_start_is_answered_and_not_started(play) -> None:
    it = joining(play)
    second, third = (Pending({"in": np.zeros((1, 1))}, 1, it.answered.append, id=name) for name in ("2", "3"))

    def first_done(pending: Pending) -> None:
        it.models["a"].refuses = None
        it.scheduler.request_gone(second)

    it.models["a"].refuses = Unavailable("full")
    for pending in (Pending({"in": np.zeros((1, 1))}, 1, first_done, id="1"), second, third):
        it.scheduler.submit(pending)
    it.clock.settle()
    assert isinstance(second.error, Cancelled)
    assert [request.id for request in it.models["a"].seen] == ["3"]
    answer_all(it)
    assert it.answered == [second, third]
    assert not it.scheduler.busy


@pytest.mark.parametrize(("byte_size", "together"), [(MAX_JOINED_BYTES // 3, [3, 2]), (MAX_JOINED_BYTES, [1] * 5)])
def test_large_requests_do_not_hold_the_loop_up_to_be_put_together(play, byte_size: int, together: list[int]) -> None:
    it = joining(play)
    send(it, 1.0, 2.0, 3.0, 4.0, 5.0, byte_size=byte_size)
    it.clock.settle()
    assert sizes(it) == together
