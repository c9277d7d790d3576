import pytest

from despina.config.read import parse_text
from despina.errors import InvalidArgument
from despina.models.raw_input import describe_raw
from despina.models.tensor_spec import TensorSpec, input_spec
from despina.protocol.messages import InferInput, InferRequest


def specs(*inputs: str) -> dict[str, TensorSpec]:
    config = parse_text("".join(f'input {{ name: "x{number}" {fields} }}' for number, fields in enumerate(inputs)))
    return {item.name: input_spec(item) for item in config.input}


def raw(content: bytes) -> InferRequest:
    return InferRequest(inputs=[InferInput("raw_input", "", (), memoryview(content))], raw=True)


@pytest.mark.parametrize(
    ("fields", "content", "batches", "shape"),
    [
        ("data_type: TYPE_FP32 dims: [ 2, 3 ]", bytes(24), False, (2, 3)),
        ("data_type: TYPE_FP32 dims: [ 2, -1 ]", bytes(24), False, (2, 3)),
        ("data_type: TYPE_UINT8 dims: [ -1 ]", bytes(7), True, (1, 7)),
        ("data_type: TYPE_STRING dims: [ 1 ]", b"text", True, (1, 1)),
    ],
)
def test_the_shape_follows_from_the_bytes(fields: str, content: bytes, batches: bool, shape: tuple[int, ...]) -> None:
    request = raw(content)
    describe_raw(request, "m", specs(fields), batches=batches)
    assert (request.inputs[0].name, request.inputs[0].shape) == ("x0", shape)


def test_bytes_become_one_element() -> None:
    request = raw(b"text")
    describe_raw(request, "m", specs("data_type: TYPE_STRING dims: [ 1 ]"), batches=False)
    data = request.inputs[0].data
    assert isinstance(data, memoryview)
    assert bytes(data) == b"\x04\0\0\0text"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (("data_type: TYPE_FP32 dims: 1", "data_type: TYPE_FP32 dims: 1"), "must only have 1 input"),
        (("data_type: TYPE_FP32 dims: [ -1, -1 ]",), "more than one variable-sized dimension"),
        (("data_type: TYPE_STRING dims: [ 2 ]",), r"the model must have input shape \[1\]"),
    ],
)
def test_what_bytes_alone_cannot_describe_is_refused(inputs: tuple[str, ...], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        describe_raw(raw(b""), "m", specs(*inputs), batches=False)
