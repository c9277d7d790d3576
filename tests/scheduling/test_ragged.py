import numpy as np
import pytest

from despina.scheduling.pending import Pending
from despina.scheduling.ragged import BatchInput, RaggedInstance, RaggedLayout, ScatteredOutputs
from despina_backends.base import BackendError, Batch, Execution

SHAPES = [(1, 3), (1, 1), (2, 5)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", [3, 1, 10]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [3, 4, 14]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 3, 4, 14]),
        ("BATCH_ITEM_SHAPE", [[3], [1], [5], [5]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [3, 1, 5, 5]),
    ],
)
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_batch_inputs_tell_about_the_requests(kind: str, expected: list[object], dtype: type) -> None:
    built = BatchInput(kind, "T", "S", np.dtype(dtype)).build(SHAPES)
    assert built.dtype == dtype
    assert built.tolist() == expected


def test_the_largest_element_count_is_a_shape() -> None:
    built = BatchInput("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", "T", "S", np.dtype(np.float32)).build(SHAPES)
    assert built.shape == (10,)


def test_item_shapes_of_several_dimensions_flatten_row_by_row() -> None:
    shapes = [(1, 2, 3), (2, 4, 5)]
    dtype = np.dtype(np.int32)
    assert BatchInput("BATCH_ITEM_SHAPE", "T", "S", dtype).build(shapes).tolist() == [[2, 3], [4, 5], [4, 5]]
    assert BatchInput("BATCH_ITEM_SHAPE_FLATTEN", "T", "S", dtype).build(shapes).tolist() == [2, 3, 4, 5, 4, 5]


class Recorder:
    """An instance that gives `outputs` and keeps what it was given."""

    def __init__(self, **outputs: object) -> None:
        self.outputs = {name: np.asarray(value) for name, value in outputs.items()}
        self.closed = False

    def execute(self, batch: Batch) -> Execution:
        self.batch = batch
        return Execution(self.outputs, 1, 2)

    def close(self) -> None:
        self.closed = True


def parts(*lengths: int) -> list[np.ndarray]:
    return [np.full((1, length), index, np.float32) for index, length in enumerate(lengths)]


def test_ragged_inputs_become_one_vector_and_others_stay() -> None:
    inner = Recorder(Y=[[1], [2]])
    built = (BatchInput("BATCH_ELEMENT_COUNT", "N", "V", np.dtype(np.int32)),)
    instance = RaggedInstance(inner, RaggedLayout(frozenset({"V"}), built))
    plain = parts(2, 2)
    instance.execute(Batch({"V": parts(1, 3), "P": plain}, 2, ("Y",)))
    assert [part.tolist() for part in inner.batch.inputs["V"]] == [[0, 1, 1, 1]]
    assert inner.batch.inputs["N"][0].tolist() == [1, 3]
    assert inner.batch.inputs["P"] is plain
    assert (inner.batch.rows, inner.batch.outputs) == (2, ("Y",))
    instance.close()
    assert inner.closed


def test_a_single_ragged_part_is_not_copied() -> None:
    inner = Recorder()
    part = np.zeros((1, 4), np.float32)
    RaggedInstance(inner, RaggedLayout(frozenset({"V"}))).execute(Batch({"V": [part]}, 1))
    assert np.shares_memory(inner.batch.inputs["V"][0], part)


def test_a_scattered_output_comes_apart_in_the_shapes_of_the_source() -> None:
    inner = Recorder(Y=np.arange(14), Z=[[1], [2], [3], [4]])
    instance = RaggedInstance(inner, RaggedLayout(scattered={"Y": "V"}))
    sources = [np.zeros(shape, np.float32) for shape in SHAPES]
    outputs = instance.execute(Batch({"V": sources}, 4)).outputs
    assert outputs["Z"] is inner.outputs["Z"]
    pieces = [outputs["Y"][row] for row in (0, 1, 2)]
    assert [piece.shape for piece in pieces] == SHAPES
    assert pieces[2].tolist() == [[4, 5, 6, 7, 8], [9, 10, 11, 12, 13]]


def test_a_scattered_output_without_a_batch_dimension() -> None:
    instance = RaggedInstance(Recorder(Y=[1, 2, 3]), RaggedLayout(scattered={"Y": "V"}))
    outputs = instance.execute(Batch({"V": [np.zeros((3,), np.float32)]}, 0)).outputs
    assert outputs["Y"][0].tolist() == [1, 2, 3]


def test_a_scattered_output_that_is_too_short_is_refused() -> None:
    instance = RaggedInstance(Recorder(Y=[1, 2]), RaggedLayout(scattered={"Y": "V"}))
    with pytest.raises(BackendError, match=r"output tensor 'Y' in responses: expected at least 3 elements .*, got 2"):
        instance.execute(Batch({"V": parts(1, 2)}, 2))


class Immediate:
    """A scheduler that answers at once with `results`, or an error."""

    busy = False

    def __init__(self, results: dict[str, np.ndarray] | None) -> None:
        self.results = results

    def submit(self, pending: Pending) -> None:
        if self.results is None:
            pending.fail(ValueError("no"))
        else:
            pending.succeed(self.results)

    def request_gone(self, pending: Pending) -> None: ...

    def when_idle(self, callback: object) -> None: ...

    def close(self) -> None: ...


def test_pieces_are_taken_out_for_the_answer() -> None:
    carrier = np.empty(2, object)
    carrier[0] = np.arange(3)
    done: list[Pending] = []
    layer = ScatteredOutputs(Immediate({"Y": carrier, "Z": np.ones(2)}), frozenset({"Y"}))
    layer.submit(Pending({}, 2, done.append))
    assert done[0].results["Y"].tolist() == [0, 1, 2]
    assert done[0].results["Z"].tolist() == [1, 1]


def test_the_pieces_of_a_request_that_ran_in_parts_are_joined() -> None:
    carrier = np.empty(3, object)
    carrier[0], carrier[2] = np.ones((2, 4)), np.zeros((1, 4))
    done: list[Pending] = []
    ScatteredOutputs(Immediate({"Y": carrier}), frozenset({"Y"})).submit(Pending({}, 3, done.append))
    assert done[0].results["Y"].tolist() == [[1] * 4, [1] * 4, [0] * 4]


def test_errors_pass() -> None:
    done: list[Pending] = []
    ScatteredOutputs(Immediate(None), frozenset({"Y"})).submit(Pending({}, 1, done.append))
    assert str(done[0].error) == "no"
