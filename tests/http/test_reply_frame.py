from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from despina.http.reply_frame import filled, frame_around


@pytest.mark.parametrize(
    "array", [np.float32(1).reshape(()), np.empty((0, 2), "<f4"), np.ones((2, 3), "<f4").T, np.ones((9, 999), "<f4").T]
)
def test_outputs_that_do_not_lie_as_usual_have_no_frame(array: np.ndarray) -> None:
    model: Any = SimpleNamespace(name="m", version=1)
    assert frame_around(model, [("X", "FP32")], [True], [array]) is None


def test_a_frame_is_not_filled_with_what_does_not_lie_as_usual() -> None:
    model: Any = SimpleNamespace(name="m", version=1)
    array = np.arange(9_999, dtype="<f4").reshape(9, 1_111)
    frame = frame_around(model, [("X", "FP32")], [True], [array])
    assert frame is not None
    assert filled(frame, [array], "") is not None
    assert filled(frame, [array.reshape(1_111, 9).T], "") is None
