"""What is said to those who ask why their batch was closed."""

import pytest

from despina.scheduling.batch_policy import BatchPolicy


@pytest.mark.parametrize(
    ("policy", "rows", "reasons"),
    [
        (BatchPolicy(8), [1], ["idle"]),
        (BatchPolicy(2), [1, 1, 1], ["full", "full", "idle"]),
        (BatchPolicy(8, (2,)), [1, 1, 1], ["preferred", "preferred", "idle"]),
        (None, [2], ["single"]),
    ],
)
def test_the_explanation_says_what_closed_the_batch(make_stage, clock, policy, rows, reasons) -> None:
    stage = make_stage(policy)
    stage.plug()
    requests = [stage.submit(n, parameters={"despina_explain": True}) for n in rows]
    clock.advance(3)
    stage.finish_all()
    told = [pending.response_parameters for pending in requests]
    assert [parameters["batch_closed_by"] for parameters in told] == reasons
    assert told[0]["queue_us"] == 3000


def test_the_explanation_after_a_delay_and_before_another_shape(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(8, (), 5_000_000))
    ask = {"despina_explain": True}
    alone = stage.submit(parameters=ask, shape_key="a")
    clock.advance(5)
    clock.advance(2)
    stage.finish()
    other = stage.submit(2, parameters=ask, shape_key="a")
    stage.submit(shape_key="b")
    stage.finish()
    assert alone.response_parameters == {
        "batch_rows": 1, "queue_us": 5000, "compute_us": 2000, "batch_closed_by": "delay"
    }  # fmt: skip
    assert other.response_parameters["batch_closed_by"] == "shape"


def test_nothing_is_explained_to_those_who_do_not_ask(make_stage) -> None:
    stage = make_stage()
    pending = stage.submit(parameters={"despina_explain": False, "mine": 1})
    stage.finish()
    assert pending.response_parameters is None
