import pytest

from despina.config.dims import model_dims, shape_text
from despina.config.read import parse_text


@pytest.mark.parametrize(
    ("fields", "dims"),
    [
        ("dims: [ 2, -1 ]", (2, -1)),
        ("dims: [ 2, 3 ] reshape { shape: [ 6 ] }", (6,)),
        ("dims: [ 1 ] reshape { shape: [ ] }", ()),
    ],
)
def test_the_model_sees_the_reshape(fields: str, dims: tuple[int, ...]) -> None:
    assert model_dims(parse_text(f'input {{ name: "x" {fields} }}').input[0]) == dims


def test_shapes_are_written_without_spaces() -> None:
    assert (shape_text([-1, 224]), shape_text(())) == ("[-1,224]", "[]")
