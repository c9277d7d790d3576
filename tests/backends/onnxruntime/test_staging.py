import numpy as np
import pytest
from numpy.typing import NDArray

from despina_backends.base import Array, BackendError, TensorMetadata
from despina_backends.onnxruntime.memory import PageableMemory
from despina_backends.onnxruntime.staging import Staging


def staging(*shape: int, datatype: str = "FP32") -> Staging:
    return Staging(TensorMetadata("X", datatype, shape), PageableMemory())


class Pinned(PageableMemory):
    """Stands in for page-locked memory."""

    pinned = True


def test_single_part_is_passed_on_without_a_copy() -> None:
    part = np.frombuffer(np.ones(6, np.float32).tobytes(), np.float32).reshape(2, 3)
    assert not part.flags.writeable
    assert staging(-1, 3).gather([part], 2) is part


@pytest.mark.parametrize(
    "part",
    [
        np.frombuffer(b"x" + np.arange(6, dtype=np.float32).tobytes(), np.float32, offset=1).reshape(2, 3),
        np.arange(6, dtype=np.float32).reshape(3, 2).T.copy(order="F"),
    ],
    ids=["unaligned", "not contiguous"],
)
def test_part_that_kernels_cannot_read_is_copied(part: Array) -> None:
    gathered = staging(-1, 3).gather([part], 2)
    assert gathered.flags.c_contiguous
    assert gathered.flags.aligned
    assert gathered.tolist() == part.tolist()


def test_parts_are_put_side_by_side_in_one_buffer_that_stays() -> None:
    place = staging(-1, 2)
    first = place.gather([np.zeros((1, 2), np.float32), np.ones((2, 2), np.float32)], 3)
    assert first.tolist() == [[0, 0], [1, 1], [1, 1]]
    second = place.gather([np.full((1, 2), 5, np.float32), np.full((1, 2), 6, np.float32)], 2)
    assert second.tolist() == [[5, 5], [6, 6]]
    assert np.shares_memory(first, second)


def test_buffer_follows_a_varying_inner_shape_and_grows() -> None:
    place = staging(-1, -1)
    for rows, inner in ((2, 4), (2, 3), (64, 9), (2, 0), (5, 2)):
        parts = [np.full((1, inner), row, np.float32) for row in range(rows)]
        assert place.gather(parts, rows).tolist() == [[row] * inner for row in range(rows)]


def test_unaligned_parts_are_gathered() -> None:
    data = b"x" + np.arange(2, dtype=np.int64).tobytes()
    part = np.frombuffer(data, np.int64, offset=1).reshape(1, 2)
    assert staging(-1, 2, datatype="INT64").gather([part, part], 2).tolist() == [[0, 1], [0, 1]]


def test_strings_are_gathered() -> None:
    place = staging(-1, 1, datatype="BYTES")
    parts: list[Array] = [np.array([[b"a"]], object), np.array([[b"bb"]], object)]
    assert place.gather(parts, 2).tolist() == [[b"a"], [b"bb"]]
    assert place.gather(parts[::-1], 2).tolist() == [[b"bb"], [b"a"]]


@pytest.mark.parametrize("shape", [(1,), (), (1, 1)])
def test_scalar_input_gets_a_scalar(shape: tuple[int, ...]) -> None:
    assert staging().gather([np.full(shape, 7, np.float32)], 0).shape == ()


def test_buffer_comes_from_the_allocator_in_powers_of_two_rows() -> None:
    class Counting:
        def __init__(self) -> None:
            self.asked: list[int] = []
            self.freed: list[int] = []

        pinned = False

        def bytes(self, count: int) -> NDArray[np.uint8]:
            self.asked.append(count)
            return np.empty(count, np.uint8)

        def free(self, block: NDArray[np.uint8]) -> None:
            self.freed.append(block.size)

        def close(self) -> None: ...

    memory = Counting()
    place = Staging(TensorMetadata("X", "FP32", (-1, 2)), memory)
    for rows in (3, 4, 2, 5, 8):
        place.gather([np.zeros((1, 2), np.float32)] * rows, rows)
    assert memory.asked == [0, 4 * 8, 8 * 8]
    assert memory.freed == [0, 4 * 8]


def test_after_memory_ran_out_nothing_is_gathered_in_what_was_given_back() -> None:
    class Little(Pinned):
        def __init__(self) -> None:
            self.freed: list[NDArray[np.uint8]] = []

        def bytes(self, count: int) -> NDArray[np.uint8]:
            if count > 32:
                raise MemoryError
            return super().bytes(count)

        def free(self, block: NDArray[np.uint8]) -> None:
            self.freed.append(block)

    memory = Little()
    place = Staging(TensorMetadata("X", "FP32", (-1, 2)), memory)
    part = np.ones((4, 2), np.float32)
    place.gather([part], 4)
    with pytest.raises(MemoryError):
        place.gather([part, part], 8)
    gathered = place.gather([part], 4)
    assert gathered.tolist() == part.tolist()
    assert not any(np.shares_memory(gathered, block) for block in memory.freed)


def test_datatype_outside_the_protocol_is_refused() -> None:
    with pytest.raises(BackendError, match="unsupported datatype of tensor 'X'"):
        staging(-1, datatype="INVALID")


@pytest.mark.parametrize("rows", [3, 0], ids=["batched", "without batch dimension"])
def test_a_single_part_goes_to_pinned_memory_too(rows: int) -> None:
    place = Staging(TensorMetadata("X", "FP32", (-1, 2)), Pinned())
    part = np.arange(6, dtype=np.float32).reshape(3, 2)
    gathered = place.gather([part], rows)
    assert not np.shares_memory(gathered, part)
    assert gathered.tolist() == part.tolist()
    assert np.shares_memory(gathered, place.gather([part + 1], rows))


def test_what_pinned_memory_cannot_hold_is_passed_on() -> None:
    scalar = Staging(TensorMetadata("S", "FP32", ()), Pinned())
    strings = Staging(TensorMetadata("S", "BYTES", (-1,)), Pinned())
    assert scalar.gather([np.array([3], np.float32)], 0).shape == ()
    part: Array = np.array([b"a"], object)
    assert strings.gather([part], 1) is part
