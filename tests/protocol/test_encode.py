import numpy as np
import pytest

from despina.errors import InvalidArgument
from despina.protocol.encode import EncodedOutput, binary_data, encode_output, encode_response, json_data
from despina.protocol.messages import Array, OutputTensor

NUMBERS = np.arange(6, dtype="<i2")


def tensor(array: Array, datatype: str = "INT16") -> OutputTensor:
    return OutputTensor("Y", datatype, array)


@pytest.mark.parametrize(
    ("array", "numbers"),
    [
        (NUMBERS.reshape(2, 3), [0, 1, 2, 3, 4, 5]),
        (NUMBERS.reshape(2, 3).T, [0, 3, 1, 4, 2, 5]),
        (NUMBERS[::2], [0, 2, 4]),
        (NUMBERS[::-1], [5, 4, 3, 2, 1, 0]),
        (np.broadcast_to(NUMBERS[3:4], (2, 1)), [3, 3]),
        (np.array(7, "<i2"), [7]),
        (np.zeros((0, 3), "<i2"), []),
    ],
)
def test_binary_data_are_the_elements_row_by_row(array: Array, numbers: list[int]) -> None:
    assert bytes(binary_data("INT16", array)) == np.array(numbers, "<i2").tobytes()
    assert json_data("INT16", array) == str(numbers).replace(" ", "").encode()


def test_binary_data_of_a_contiguous_array_are_not_copied() -> None:
    array = NUMBERS.reshape(2, 3).copy()
    data = binary_data("INT16", array)
    array[:] = 1
    assert bytes(data) == b"\1\0" * 6


@pytest.mark.parametrize("count", [3, 100])
def test_fp32_is_printed_as_the_double_it_is(count: int) -> None:
    text = json_data("FP32", np.full(count, 0.1, np.float32))
    assert text == b"[" + b",".join([b"0.10000000149011612"] * count) + b"]"


@pytest.mark.parametrize("count", [3, 100])
def test_what_is_no_number_in_json_is_printed_like_the_real_server_does(count: int) -> None:
    array = np.zeros(count)
    array[:3] = np.nan, np.inf, -np.inf
    assert json_data("FP64", array).startswith(b"[NaN,Infinity,-Infinity")


def test_bytes_that_are_no_text_are_in_json_as_they_are() -> None:
    assert json_data("BYTES", np.array([b"\xff", b"a"], object)) == b'["\xff","a"]'
    assert json_data("BYTES", np.array(["\u00e9", "a"], object)) == '["\u00e9","a"]'.encode()


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_halves_are_not_sent_as_json(datatype: str) -> None:
    with pytest.raises(InvalidArgument, match=f"sending {datatype} data via JSON is not supported"):
        encode_output(tensor(np.zeros(1, "<u2"), datatype), binary=False)


def test_a_response_has_its_json_first_and_then_what_is_binary() -> None:
    outputs = [
        EncodedOutput(OutputTensor("A", "INT16", NUMBERS[:2]), binary=NUMBERS[:2].tobytes()),
        encode_output(OutputTensor("B", "BYTES", np.array([b"x"], object)), binary=False),
        EncodedOutput(OutputTensor("C", "INT16", NUMBERS[:0]), binary=b""),
        EncodedOutput(OutputTensor("D", "INT16", NUMBERS[:1])),
    ]
    response = encode_response("m", 3, "7", outputs, {"p": True})
    head = (
        b'{"id":"7","model_name":"m","model_version":"3","parameters":{"p":true},"outputs":['
        b'{"name":"A","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}},'
        b'{"name":"B","datatype":"BYTES","shape":[1],"data":["x"]},'
        b'{"name":"C","datatype":"INT16","shape":[0],"parameters":{"binary_data_size":0}},'
        b'{"name":"D","datatype":"INT16","shape":[1]}]}'
    )
    assert response.buffers == [head, b"\0\0\1\0"]
    assert response.header_length == len(head)
    assert response.size == len(head) + 4


def test_a_response_without_binary_data_has_no_header_length() -> None:
    response = encode_response("m", 1, "", [EncodedOutput(OutputTensor("C", "INT16", NUMBERS[:0]), binary=b"")])
    assert response.header_length == 0
    assert len(response.buffers) == 1
