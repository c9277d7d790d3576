from dataclasses import replace
from mmap import mmap

import numpy as np
import pytest

from despina_backends.base import TensorMetadata
from despina_backends.process.messages import RUN
from despina_backends.process.places import MAX_PLACE_BYTES, PLACES, batch_tensors

X = TensorMetadata("X", "FP32", (-1, 3))
Y = TensorMetadata("Y", "INT8", (-1, 2, 5))
SCALARS = TensorMetadata("S", "BF16", (-1,))


def test_no_two_tensors_share_a_byte() -> None:
    tensors = batch_tensors([X, SCALARS], [Y], 4)
    assert tensors is not None
    memory = mmap(-1, PLACES * tensors.place_bytes)
    arrays = [array for place in tensors.views(memory) for array in (*place.inputs.values(), *place.outputs.values())]
    for number, array in enumerate(arrays, 1):
        array[:] = number
    assert [set(array.ravel().tolist()) for array in arrays] == [{number} for number in range(1, len(arrays) + 1)]
    del arrays, array


def test_arrays_have_room_for_the_largest_batch() -> None:
    tensors = batch_tensors([X, SCALARS], [Y], 4)
    assert tensors is not None
    place = tensors.views(mmap(-1, PLACES * tensors.place_bytes))[1]
    assert {name: (array.shape, array.dtype) for name, array in place.inputs.items()} == {
        "X": ((4, 3), np.float32),
        "S": ((4,), np.uint16),
    }
    assert place.outputs["Y"].shape == (4, 2, 5)


def test_every_tensor_begins_where_processors_like_it() -> None:
    tensors = batch_tensors([Y, X], [SCALARS, X], 3)
    assert tensors is not None
    memory = mmap(-1, PLACES * tensors.place_bytes)
    arrays = [array for place in tensors.views(memory) for array in (*place.inputs.values(), *place.outputs.values())]
    assert [array.ctypes.data % 64 for array in arrays] == [0] * len(arrays)
    del arrays


@pytest.mark.parametrize(
    "other",
    [
        TensorMetadata("T", "BYTES", (-1, 1)),
        TensorMetadata("V", "FP32", (-1, -1)),
        TensorMetadata("O", "FP32", (-1, 1), optional=True),
        TensorMetadata("L", "UINT8", (-1, MAX_PLACE_BYTES)),
    ],
    ids=["text", "variable", "optional", "large"],
)
def test_what_cannot_cross(other: TensorMetadata) -> None:
    assert batch_tensors([X], [Y], 4) is not None
    assert batch_tensors([X, other], [Y], 4) is None
    assert batch_tensors([X], [Y, other], 4) is None


def test_a_model_without_a_batch_dimension_cannot_cross() -> None:
    assert batch_tensors([X], [Y], 0) is None


@pytest.mark.parametrize(("count", "cross"), [(64, True), (65, False)])
def test_a_batch_has_no_more_outputs_than_a_message_has_bits(count: int, cross: bool) -> None:
    outputs = [replace(Y, name=f"Y{number}") for number in range(count)]
    assert (batch_tensors([X], outputs, 1) is not None) is cross
    assert RUN.pack(0, 1, (1 << 64) - 1)
