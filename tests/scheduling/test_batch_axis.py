import numpy as np
import pytest

from despina.scheduling.batch_axis import fit_batch_axis


@pytest.mark.parametrize(
    ("shape", "batches", "expected"),
    [
        ((3, 4), True, (1, 3, 4)),
        ((2, 3, 4), True, (2, 3, 4)),
        ((3, 4), False, (3, 4)),
        ((1, 3, 4), False, (3, 4)),
        ((2, 3, 4), False, (2, 3, 4)),
        ((4,), True, (4,)),
    ],
)
def test_a_batch_dimension_of_one_comes_and_goes(
    shape: tuple[int, ...], batches: bool, expected: tuple[int, ...]
) -> None:
    array = np.arange(np.prod(shape))
    fitted = fit_batch_axis(array.reshape(shape), 2, batches)
    assert fitted.shape == expected
    assert np.shares_memory(fitted, array)
