import numpy as np
import pytest

from despina.errors import Internal, Unavailable
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.oversize import Oversize
from despina.scheduling.pending import Pending
from despina.scheduling.policy_queue import QueuePolicy, QueueRules
from despina.scheduling.request_queue import QueueLimits


def submit(stage, rows: int, **more: object) -> Pending:
    """A request in front of the batcher of `stage`, whose rows are numbered."""
    if not hasattr(stage, "front"):
        stage.front = Oversize(stage.batcher, "m", 4)
    values = np.arange(rows, dtype=np.float32).reshape(rows, 1)
    pending = Pending(
        {"IN": values}, rows, stage.answered.append, byte_size=rows * 4, accepted_ns=stage.clock.now_ns(), **more
    )
    stage.front.submit(pending)
    stage.clock.settle()
    return pending


def test_a_large_request_runs_in_parts_and_comes_back_in_one_piece(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    large = submit(stage, 10)
    stage.finish_all()
    assert stage.ran == [4, 4, 2]
    assert large.results["OUT"].ravel().tolist() == list(range(10))
    assert stage.answered == [large]


def test_the_rest_of_a_large_request_shares_its_batch(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    large, small = submit(stage, 6), submit(stage, 2)
    stage.finish_all()
    assert stage.ran == [4, 4]
    assert large.results["OUT"].shape == (6, 1)
    assert small.results["OUT"].shape == (2, 1)


def test_a_request_that_fits_is_passed_on_as_it_is(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    fitting = submit(stage, 4)
    stage.finish()
    assert stage.answered == [fitting]


def test_parts_finish_in_any_order(make_stage) -> None:
    stage = make_stage(BatchPolicy(4), instances=3)
    large = submit(stage, 9)
    for index in (1, 1, 0):
        stage.finish(index)
    assert large.results["OUT"].ravel().tolist() == list(range(9))


def test_the_first_failure_fails_the_whole_and_the_rest_never_runs(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    large = submit(stage, 16)
    stage.finish()
    stage.finish(error=Internal("no"))
    assert str(large.error) == "no"
    assert stage.answered == [large]
    stage.finish_all()
    assert stage.ran == [4, 4]
    assert stage.answered == [large]
    assert not stage.front.busy


def test_parts_that_do_not_fit_into_the_queue_take_the_whole_with_them(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(4), limits=QueueLimits(rows=9))
    stage.plug()
    with pytest.raises(Unavailable, match="Exceeds maximum queue size"):
        submit(stage, 12)
    clock.settle()
    stage.finish()
    assert stage.ran == []
    assert len(stage.answered) == 1


def test_a_client_that_hangs_up_takes_all_parts_with_it(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(4))
    stage.plug()
    large = submit(stage, 12)
    stage.front.request_gone(large)
    clock.settle()
    assert stage.answered == [large]
    stage.finish()
    assert stage.ran == []


def test_a_part_that_expires_fails_the_whole(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(4), rules=QueueRules(QueuePolicy(default_timeout_us=5_000)))
    large = submit(stage, 8)
    clock.advance(6)
    assert str(large.error) == "Request timeout expired"
    stage.finish()
    assert stage.ran == [4]


def test_an_output_without_the_rows_of_its_part_is_an_error(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    large = submit(stage, 6)
    stage.finish()
    stage.finish(outputs={"OUT": np.zeros((1, 1), np.float32)})
    assert str(large.error).endswith("expected batch size of at least 2 in model output, got 1")


def test_parts_whose_outputs_do_not_fit_together_are_an_error(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    large = submit(stage, 6)
    stage.finish()
    stage.finish(outputs={"OUT": np.zeros((2, 3), np.float32)})
    assert str(large.error) == (
        "output 'OUT' of model 'm': expected 2 rows from a part of a request that was split, got shape [2, 3]; send at "
        "most max_batch_size rows to this model"
    )


def test_priority_timeout_and_wanted_outputs_go_to_the_parts(make_stage) -> None:
    stage = make_stage(BatchPolicy(4), rules=QueueRules(priority_levels=2, default_priority_level=2))
    stage.plug()
    usual, urgent = submit(stage, 8), submit(stage, 8, priority=1, outputs=("OUT",))
    stage.finish_all()
    assert stage.answered[1:] == [urgent, usual]


def test_the_explanation_tells_the_number_of_parts(make_stage) -> None:
    stage = make_stage(BatchPolicy(4))
    large = submit(stage, 6, parameters={"despina_explain": True})
    stage.finish_all()
    assert large.response_parameters["request_parts"] == 2
    assert large.response_parameters["batch_rows"] == 2


class AtOnce:
    """A batcher whose instance runs on the loop's thread as soon as there is enough."""

    busy = False

    def __init__(self, *outcomes: Exception | None) -> None:
        self._outcomes = list(outcomes)

    def submit(self, pending: Pending) -> None:
        error = self._outcomes.pop(0)
        if error is None:
            pending.succeed({"OUT": pending.inputs["IN"]})
        elif isinstance(error, Unavailable):
            raise error
        else:
            pending.fail(error)

    def request_gone(self, pending: Pending) -> None: ...

    def when_idle(self, callback: object) -> None: ...

    def close(self) -> None: ...


def submit_at_once(*outcomes: Exception | None) -> list[Pending]:
    answered: list[Pending] = []
    values = np.arange(10, dtype=np.float32).reshape(10, 1)
    Oversize(AtOnce(*outcomes), "m", 4).submit(Pending({"IN": values}, 10, answered.append))
    return answered


def test_parts_that_are_answered_at_once_are_all_there() -> None:
    (answered,) = submit_at_once(None, None, None)
    assert answered.results["OUT"].ravel().tolist() == list(range(10))


def test_a_part_that_fails_at_once_fails_the_whole_and_no_other_is_sent() -> None:
    (answered,) = submit_at_once(Internal("no"), Unavailable("full"))
    assert str(answered.error) == "no"
