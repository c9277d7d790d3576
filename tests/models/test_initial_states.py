import numpy as np
import pytest

from despina.config.read import parse_text
from despina.errors import DespinaError, Internal, InvalidArgument, Unsupported
from despina.models.initial_states import initial_state


def read(directory, data="", dims="[ 2 ]", initial_dims=None, datatype="TYPE_INT32", max_batch_size=4):
    initial = ""
    if data:
        initial = f'initial_state {{ name: "i" data_type: {datatype} dims: {initial_dims or dims} {data} }}'
    text = f'input_name: "s" output_name: "t" data_type: {datatype} dims: {dims} {initial}'
    config = parse_text(f'name: "m" max_batch_size: {max_batch_size} sequence_batching {{ state {{ {text} }} }}')
    return initial_state(config, config.sequence_batching.state[0], directory)


def put(directory, content: bytes) -> str:
    (directory / "initial_state").mkdir()
    (directory / "initial_state" / "file").write_bytes(content)
    return 'data_file: "file"'


@pytest.mark.parametrize(
    ("data", "dims", "initial_dims", "max_batch_size", "shape"),
    [
        ("", "[ 2 ]", None, 4, (1, 2)),
        ("", "[ 2 ]", None, 0, (2,)),
        ("", "[ -1, 3 ]", None, 4, (1, 1, 3)),
        ("zero_data: true", "[ 2 ]", None, 4, (1, 2)),
        ("zero_data: true", "[ -1, 3 ]", "[ 5, 3 ]", 4, (1, 5, 3)),
    ],
)
def test_states_begin_as_zeros(tmp_path, data, dims, initial_dims, max_batch_size, shape) -> None:
    state = read(tmp_path, data, dims, initial_dims, max_batch_size=max_batch_size)
    assert (state.shape, state.dtype, state.any()) == (shape, np.dtype("<i4"), False)


def test_a_string_state_begins_with_empty_strings(tmp_path) -> None:
    assert read(tmp_path, datatype="TYPE_STRING").tolist() == [[b"", b""]]
    assert read(tmp_path, "zero_data: true", datatype="TYPE_STRING").tolist() == [[b"", b""]]


def test_a_state_begins_with_what_a_file_says_and_the_rest_of_the_file_is_ignored(tmp_path) -> None:
    data = put(tmp_path, np.array([7, -8, 9], "<i4").tobytes())
    assert read(tmp_path, data).tolist() == [[7, -8]]


def test_a_file_of_strings(tmp_path) -> None:
    data = put(tmp_path, b"\1\0\0\0a\2\0\0\0bc")
    assert read(tmp_path, data, datatype="TYPE_STRING").tolist() == [[b"a", b"bc"]]


def test_a_file_that_is_too_short(tmp_path) -> None:
    data = put(tmp_path, b"\0" * 7)
    with pytest.raises(InvalidArgument) as caught:
        read(tmp_path, data)
    assert (
        caught.value.message
        == "initial_state setting expects 8 bytes, but the data provided from fileonly has 7 bytes."
    )


@pytest.mark.parametrize(
    ("file", "kind", "words"),
    [
        ("absent", Internal, "failed to open text file for read"),
        ("../secret", Unsupported, "'../secret' for state input 's' in model 'm' is outside model directory"),
        ("/etc/hostname", Unsupported, "outside model directory"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, file: str, kind: type[DespinaError], words: str) -> None:
    with pytest.raises(kind, match=words):
        read(tmp_path, f'data_file: "{file}"')
