import numpy as np
import pytest

from despina.errors import InvalidArgument
from despina.protocol.classification import classify


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [
        ([1, 3, 2], 2, [b"3:1:b", b"2:2"]),
        ([1, 3, 2], 9, [b"3:1:b", b"2:2", b"1:0:a"]),
        ([0, 2, 0, 2], 4, [b"2:1:b", b"2:3", b"0:0:a", b"0:2"]),
    ],
)
def test_the_best_come_first_and_of_equal_ones_the_first(values: list[int], count: int, expected: list[bytes]) -> None:
    array = np.array(values, np.uint8)
    assert classify(array, "UINT8", count, ["a", "b"], batches=False).tolist() == expected


def test_every_row_of_a_batch_has_classes_of_its_own() -> None:
    scores = np.array([[0.5, 0.25], [1, 2]], np.float32)
    assert classify(scores, "FP32", 1, [], batches=True).tolist() == [[b"0.500000:0"], [b"2.000000:1"]]


def test_strings_have_no_order() -> None:
    with pytest.raises(InvalidArgument, match="unsupported type 'BYTES'"):
        classify(np.array([b"a"], object), "BYTES", 1, [], batches=False)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_a_batch_without_elements_has_no_classes(shape: tuple[int, int]) -> None:
    assert classify(np.zeros(shape, np.float32), "FP32", 2, [], batches=True).shape == (shape[0], min(shape[1], 2))


@pytest.mark.parametrize("size", [3, 128, 129, 1000])
@pytest.mark.parametrize("distinct", [1, 2, 10, 1000])
@pytest.mark.parametrize("count", [1, 5, 128, 2000])
@pytest.mark.parametrize("datatype", ["FP32", "INT64"])
def test_it_is_the_beginning_of_all_of_them_sorted(size: int, distinct: int, count: int, datatype: str) -> None:
    array = (np.arange(size) * 7919 % distinct).astype(np.float32 if datatype == "FP32" else np.int64)
    best = sorted(range(size), key=lambda index: (-array[index], index))[:count]
    classes = classify(array, datatype, count, [], batches=False).tolist()
    assert [int(text.split(b":")[1]) for text in classes] == best


@pytest.mark.parametrize("not_numbers", [[], [40], [7, 150], list(range(0, 200, 3))])
def test_what_is_no_number_comes_before_all_numbers(not_numbers: list[int]) -> None:
    array = np.arange(200, dtype=np.float32)
    array[not_numbers] = np.nan
    classes = classify(array, "FP32", 5, [], batches=False).tolist()
    numbers = [index for index in range(199, -1, -1) if index not in not_numbers]
    assert [int(text.split(b":")[1]) for text in classes] == (not_numbers + numbers)[:5]
    assert classes[:1] == ([b"nan:%d" % not_numbers[0]] if not_numbers else [b"199.000000:199"])


@pytest.mark.parametrize(
    ("values", "order"),
    [
        ([1, np.nan, 2], [2, 0, 1]),
        ([np.nan, 1, 2], [0, 2, 1]),
        ([np.inf, -np.inf, np.nan], [0, 1, 2]),
        ([3, np.nan, 1, 2, np.nan, 9], [5, 0, 1, 3, 2, 4]),
        ([np.nan], [0]),
        ([0, np.nan, *range(1, 15)], [15, 14, 13, 12, 11, 10, 9, 8, 7]),
        ([0, np.nan, *range(1, 16)], [1, 16, 15, 14, 13, 12, 11, 10, 9]),
    ],
)
def test_few_elements_that_are_no_numbers_stay_in_between(values: list[float], order: list[int]) -> None:
    classes = classify(np.array(values, np.float32), "FP32", 9, [], batches=False).tolist()
    assert [int(text.split(b":")[1]) for text in classes] == order
