import numpy as np
import pytest

from despina.config.read import parse_text
from despina.models.tensor_spec import TensorSpec, input_spec, output_spec


def an_input(fields: str) -> TensorSpec:
    return input_spec(parse_text(f'input {{ name: "x" data_type: TYPE_FP32 {fields} }}').input[0])


def an_output(fields: str) -> TensorSpec:
    return output_spec(parse_text(f'output {{ name: "y" data_type: TYPE_STRING {fields} }}').output[0])


@pytest.mark.parametrize(
    ("dims", "shape", "fits"),
    [
        ("dims: [ 2, -1 ]", (2, 7), True),
        ("dims: [ 2, -1 ]", (3, 7), False),
        ("dims: [ 2, -1 ]", (2,), False),
        ("dims: [ 2, 3 ]", (2, 3), True),
    ],
)
def test_variable_dims_take_any_size(dims: str, shape: tuple[int, ...], fits: bool) -> None:
    assert an_input(dims).accepts(shape) is fits


def test_the_variable_dims_of_a_shape_go_into_the_reshape_from_left_to_right() -> None:
    spec = an_input("dims: [ -1, 1, -1 ] reshape { shape: [ -1, -1 ] }")
    assert spec.model_shape((5, 1, 6)) == (5, 6)


def test_outputs_take_the_clients_shape_again() -> None:
    spec = an_output("dims: [ 2, -1 ] reshape { shape: [ -1, 2 ] }")
    assert spec.to_client(np.empty((4, 3, 2), object), batches=True).shape == (4, 2, 3)
    assert spec.to_client(np.empty((3, 2), object), batches=False).shape == (2, 3)
    assert an_output("dims: [ 1, 1 ]").to_client(np.array(b"", object), batches=False).shape == (1, 1)


def test_what_else_the_configuration_says_is_kept() -> None:
    spec = an_input("dims: 1 optional: true allow_ragged_batch: true")
    assert (spec.datatype.name, spec.optional, spec.ragged, spec.is_variable) == ("FP32", True, True, False)
    assert an_output("dims: 1").datatype.name == "BYTES"
