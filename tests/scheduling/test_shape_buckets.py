import numpy as np
import pytest

from despina.scheduling.pending import Pending
from despina.scheduling.shape_buckets import (
    BucketedRequests,
    BuiltInput,
    PaddingInstance,
    ShapeBucket,
    cut_back,
    padded_inputs,
)
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Batch, Execution

INT64 = np.dtype(np.int64)
BUCKET = ShapeBucket("IDS", 1, (4, 8), -1, {"LOGITS": (1,)})


@pytest.mark.parametrize(("length", "padded"), [(0, 4), (1, 4), (4, 4), (5, 8), (8, 8), (9, 9), (100, 100)])
def test_a_length_is_padded_to_the_next_size_but_not_beyond_the_last(length: int, padded: int) -> None:
    assert BUCKET.padded(length) == padded


def ids(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int64)


def test_parts_of_different_lengths_are_padded_into_one_array() -> None:
    inputs = padded_inputs(BUCKET, [ids([1, 2]), ids([3, 4, 5], [6, 7, 8])], 3)
    (joined,) = inputs["IDS"]
    assert joined.tolist() == [[1, 2, -1, -1], [3, 4, 5, -1], [6, 7, 8, -1]]
    assert joined.dtype == np.int64


def test_parts_that_fit_exactly_are_left_alone() -> None:
    parts = [ids([1, 2, 3, 4]), ids([5, 6, 7, 8])]
    assert padded_inputs(BUCKET, parts, 2)["IDS"] is parts


def test_lengths_and_mask_are_filled_in_for_every_row() -> None:
    bucket = ShapeBucket(
        "IDS", 1, (4,), 0, {}, BuiltInput("LEN", np.dtype(np.int32), 2), BuiltInput("MASK", np.dtype(np.float32), 2)
    )
    inputs = padded_inputs(bucket, [ids([1, 2]), ids([3, 4, 5, 6], [6, 7, 8, 9])], 3)
    assert inputs["LEN"][0].tolist() == [[2], [4], [4]]
    assert inputs["LEN"][0].dtype == np.int32
    assert inputs["MASK"][0].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert inputs["MASK"][0].dtype == np.float32


def test_a_model_without_a_batch_dimension() -> None:
    bucket = ShapeBucket("IDS", 0, (4,), 9, {}, BuiltInput("LEN", INT64, 1), BuiltInput("MASK", INT64, 1))
    inputs = padded_inputs(bucket, [np.array([1, 2])], 0)
    assert inputs["IDS"][0].tolist() == [1, 2, 9, 9]
    assert inputs["LEN"][0].tolist() == [2]
    assert inputs["MASK"][0].tolist() == [1, 1, 0, 0]


def test_an_inner_axis_is_padded_where_it_is() -> None:
    bucket = ShapeBucket("IDS", 2, (3,), 0)
    (padded,) = padded_inputs(bucket, [np.ones((1, 2, 2), np.float32)], 1)["IDS"]
    assert padded.tolist() == [[[1, 1, 0], [1, 1, 0]]]


def test_strings_are_padded_with_strings() -> None:
    part = np.array([[b"a"]], object)
    (padded,) = padded_inputs(ShapeBucket("IDS", 1, (3,), b""), [part], 1)["IDS"]
    assert padded.tolist() == [[b"a", b"", b""]]


def test_the_instance_gets_a_padded_batch_and_the_rest_as_it_is() -> None:
    class Inner:
        def execute(self, batch: Batch) -> Execution:
            self.batch = batch
            return Execution({}, 0, 0)

        def close(self) -> None:
            self.closed = True

    inner = Inner()
    instance = PaddingInstance(inner, (BUCKET, ShapeBucket("ABSENT", 1, (4,))))
    other = [np.ones((1, 1))]
    instance.execute(Batch({"IDS": [ids([1])], "OTHER": other}, 1, ("LOGITS",)))
    assert inner.batch.inputs["OTHER"] is other
    assert inner.batch.inputs["IDS"][0].shape == (1, 4)
    assert (inner.batch.rows, inner.batch.outputs) == (1, ("LOGITS",))
    instance.close()
    assert inner.closed


class Held:
    """A scheduler that keeps its requests."""

    busy = True

    def __init__(self) -> None:
        self.taken: list[Pending] = []
        self.gone: list[Pending] = []

    def submit(self, pending: Pending) -> None:
        self.taken.append(pending)

    def request_gone(self, pending: Pending) -> None:
        self.gone.append(pending)

    def when_idle(self, callback: object) -> None: ...

    def close(self) -> None: ...


def submitted(layer: BucketedRequests, length: int, done: list[Pending] | None = None) -> Pending:
    pending = Pending(
        {"IDS": np.ones((1, length), np.int64), "P": np.ones((1, 2))}, 1, ([] if done is None else done).append
    )
    layer.submit(pending)
    return pending


def test_requests_of_one_bucket_share_a_batch_and_no_others_do() -> None:
    layer = BucketedRequests(Held(), [BUCKET], ModelStatistics())
    keys = [submitted(layer, length).shape_key for length in (2, 4, 5, 9, 10)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_outputs_are_cut_back_and_the_padding_is_counted() -> None:
    inner, statistics, done = Held(), ModelStatistics(), list[Pending]()
    layer = BucketedRequests(inner, [BUCKET], statistics)
    pending = submitted(layer, 3, done)
    pending.succeed({"LOGITS": np.zeros((1, 4, 4)), "POOLED": np.zeros((1, 4))})
    assert {name: array.shape for name, array in done[0].results.items()} == {"LOGITS": (1, 3, 4), "POOLED": (1, 4)}
    assert (statistics.bucket_elements, statistics.padding_elements) == (3, 1)
    layer.request_gone(pending)
    assert inner.gone == [pending]


def test_a_request_that_fits_its_bucket_wastes_nothing() -> None:
    statistics, done = ModelStatistics(), list[Pending]()
    results = {"LOGITS": np.zeros((1, 4))}
    submitted(BucketedRequests(Held(), [BUCKET], statistics), 4, done).succeed(results)
    assert done[0].results is results
    assert (statistics.bucket_elements, statistics.padding_elements) == (4, 0)


def test_a_failed_request_counts_no_padding() -> None:
    statistics, done = ModelStatistics(), list[Pending]()
    submitted(BucketedRequests(Held(), [BUCKET], statistics), 3, done).fail(ValueError())
    assert (len(done), statistics.bucket_elements) == (1, 0)


def test_only_axes_as_long_as_the_bucket_are_cut() -> None:
    results = {"A": np.zeros((1, 4, 4)), "B": np.zeros((1, 5)), "C": np.zeros((4, 4))}
    cut = cut_back(results, {"A": (1, 2), "B": (1,), "MISSING": (1,)}, 4, 2)
    assert {name: array.shape for name, array in cut.items()} == {"A": (1, 2, 2), "B": (1, 5), "C": (4, 4)}
