import numpy as np
import pytest

from despina.http.request_template import InputTemplate
from despina.http.tensor_sizes import cut
from despina.protocol.plain_texts import PlainTexts

TEXT = b"\3\0\0\0abc"


@pytest.mark.parametrize(
    ("numbers", "text", "behind", "right"),
    [(8, 7, 0, True), (7, 7, 0, False), (9, 7, 0, False), (0, 7, 0, False), (8, 6, 0, False), (8, 7, 1, False)],
)
def test_tensors_are_cut_where_each_has_the_size_of_its_kind(numbers: int, text: int, behind: int, right: bool) -> None:
    inputs = [
        InputTemplate("N", np.dtype("<f4"), (1, 2), 0, "FP32", 2),
        InputTemplate("T", np.dtype(object), (1, 1), 0, "BYTES", 1, PlainTexts(1, False, 100)),
    ]
    data = bytes(numbers) + TEXT[:text] + bytes(behind)
    arrays = cut(inputs, memoryview(data), [numbers, text])
    assert (arrays is not None) is right
    if arrays is not None:
        assert [array.tolist() for array in arrays.values()] == [[[0, 0]], [[b"abc"]]]


@pytest.mark.parametrize(("size", "behind", "right"), [(7, 0, True), (6, 0, False), (8, 0, False), (7, 1, False)])
def test_the_only_tensor_takes_all_of_the_data(size: int, behind: int, right: bool) -> None:
    inputs = [InputTemplate("T", np.dtype(object), (1, 1), 0, "BYTES", 1, PlainTexts(1, True, 100))]
    arrays = cut(inputs, memoryview(TEXT + bytes(behind)), [size])
    assert (arrays is not None) is right
    if arrays is not None:
        assert [array.tolist() for array in arrays.values()] == [[["abc"]]]
