import numpy as np
from tests.support.arenas import arena

from despina.http.workers.layout import (
    GroupLayouts,
    Layout,
    layout_of,
    read_layout,
    wire_form,
)
from despina.protocol.json import dumps, loads


def test_layouts_are_alike_on_both_sides() -> None:
    assert isinstance(layout_of(()), Layout)
    assert layout_of(()).size == 0


def test_tensors_of_every_kind_lie_side_by_side() -> None:
    tensors = {
        "floats": np.arange(6, dtype="<f4").reshape(2, 3),
        "turned": np.arange(6, dtype="<i8").reshape(2, 3).T,
        "flags": np.array([True, False, True]),
        "text": np.array([[b"", b"a\0"], [b"\xff", b"long" * 100]], object),
        "scalar": np.array(2.5),
        "none": np.empty((0, 4), "<f2"),
        "no text": np.empty(0, object),
    }
    with arena() as slots:
        key, written = wire_form(tensors)
        layout = layout_of(key)
        assert read_layout(loads(dumps(layout.described))) == layout
        slots.take(100)
        read = layout.read(slots.memory, layout.write(slots, written))
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert read[name].tolist() == tensor.tolist()


def test_the_tensors_of_a_group_lie_input_by_input() -> None:
    requests = [{"a": np.full((2, 3), number, "<f4"), "b": np.full((2,), 10 * number, "<i8")} for number in range(1, 4)]
    with arena() as slots:
        layouts = GroupLayouts(layout_of(wire_form(requests[0])[0]))
        layout = layouts.of(3)
        read = layout.read(slots.memory, layout.gather(slots, requests))
    assert read["a"].tolist() == [[1, 1, 1], [1, 1, 1], [2, 2, 2], [2, 2, 2], [3, 3, 3], [3, 3, 3]]
    assert read["b"].tolist() == [10, 10, 20, 20, 30, 30]
    assert layouts.of(3) is layout
