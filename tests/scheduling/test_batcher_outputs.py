"""Who gets which rows of what an execution made, and who is told what when it made something else."""

import numpy as np
import pytest


def test_an_output_with_too_few_rows_fails_the_requests_it_does_not_reach(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    first, second = stage.submit(2), stage.submit(3, id="second")
    stage.finish()
    stage.finish(outputs={"OUT": np.zeros((4, 1))})
    assert first.results is not None
    assert str(second.error) == (
        "[request id: second] failed to split the output tensor 'OUT' in responses: expected batch size of at least 5 "
        "in model output, got 4"
    )
    statistics = stage.statistics
    assert (statistics.success.count, statistics.failures["BACKEND"]) == (2, 1)
    assert (statistics.execution_count, statistics.inference_count, set(statistics.batches)) == (2, 3, {1, 5})


@pytest.mark.parametrize(
    ("rows", "made", "got"),
    [(1, (3, 2), (1, 2)), (2, (3,), (2,)), (2, (2, 2), (2, 2)), (1, (), ())],
    ids=["more", "more, of one dimension", "as many", "a scalar"],
)
def test_a_request_that_runs_alone_gets_as_many_rows_as_in_company(make_stage, rows, made, got) -> None:
    stage = make_stage()
    pending = stage.submit(rows)
    stage.finish(outputs={"OUT": np.zeros(made)})
    assert pending.results["OUT"].shape == got


@pytest.mark.parametrize(("made", "got"), [((1, 2), 1), ((0, 2), 0), ((), 1)], ids=["a row", "none", "a scalar"])
def test_a_request_that_runs_alone_fails_when_an_output_has_too_few_rows(make_stage, made, got) -> None:
    stage = make_stage()
    pending = stage.submit(2)
    stage.finish(outputs={"OUT": np.zeros(made)})
    assert str(pending.error).endswith(f"expected batch size of at least 2 in model output, got {got}")
    statistics = stage.statistics
    assert (statistics.success.count, statistics.failures["BACKEND"]) == (0, 1)
    assert (statistics.execution_count, statistics.inference_count, set(statistics.batches)) == (1, 0, {2})


def test_a_model_without_a_batch_dimension_answers_with_what_it_made(make_stage) -> None:
    stage = make_stage(None, batches_rows=False)
    pending = stage.submit()
    stage.finish(outputs={"OUT": np.zeros((3, 2))})
    assert pending.results["OUT"].shape == (3, 2)


@pytest.mark.parametrize("rows", [(2, 2, 2), (1, 3, 2)], ids=["even", "uneven"])
def test_every_request_gets_its_own_rows(make_stage, rows) -> None:
    stage = make_stage()
    stage.plug()
    answers = [stage.submit(each) for each in rows]
    stage.finish()
    made = np.arange(12.0).reshape(6, 2)
    stage.finish(outputs={"OUT": made})
    assert stage.ran == [6]
    ends = np.cumsum(rows)
    for answer, end, each in zip(answers, ends, rows, strict=True):
        assert answer.results is not None
        assert np.array_equal(answer.results["OUT"], made[end - each : end])


def test_rows_beyond_those_of_the_requests_belong_to_nobody(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    answers = [stage.submit(), stage.submit()]
    stage.finish()
    stage.finish(outputs={"OUT": np.arange(3.0)})
    assert [list(answer.results["OUT"]) for answer in answers] == [[0.0], [1.0]]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("made", [3, 1])
def test_rows_that_are_not_those_of_the_requests_are_told_once(make_stage, caplog, made, ordered) -> None:
    stage = make_stage(ordered=ordered)
    stage.submit(2)
    stage.finish()
    assert not caplog.messages
    for _ in range(2):
        stage.submit(2)
        stage.finish(outputs={"OUT": np.zeros((made, 2))})
    assert caplog.messages == [
        f"model 'm': output 'OUT' had {made} rows after a batch of 2, and is cut apart as if one belonged to each row "
        "of the inputs. If that is not so, this model cannot batch: list its inputs and outputs in config.pbtxt, "
        "with all dimensions and max_batch_size: 0"
    ]


def test_only_outputs_that_somebody_wants_are_computed(make_stage) -> None:
    stage = make_stage()
    stage.plug()
    for names in (("A",), ("B", "A")):
        stage.submit(outputs=names)
    stage.finish()
    assert stage.running[0].batch.outputs == ("A", "B")
    stage.finish(outputs={"A": np.zeros((2, 1)), "B": np.ones((2, 1))})
    assert list(stage.answered[1].results) == ["A"]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("together", [1, 2, 12])
def test_clients_hear_of_outputs_that_are_no_arrays(
    make_stage, caplog: pytest.LogCaptureFixture, together, ordered
) -> None:
    stage = make_stage(12, ordered=ordered)
    stage.plug()
    requests = [stage.submit() for _ in range(together)]
    stage.finish()
    stage.finish(outputs={"OUT": [[1.0]] * together})
    attribute = "ndim" if together == 1 else "shape"
    assert {str(pending.error) for pending in requests} == {
        f"unexpected failure: 'list' object has no attribute '{attribute}'"
    }
    assert stage.statistics.failures["OTHER"] == together
    assert "could not be put together or answered" in caplog.text
    after = stage.submit()
    stage.finish()
    assert after.results is not None
    assert (stage.statistics.pending, stage.batcher.busy) == (0, False)
