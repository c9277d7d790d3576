import numpy as np
import pytest

from despina_backends.base import BackendError
from despina_backends.onnxruntime.strings import decode_strings, encode_strings


def test_utf8_is_decoded_and_encoded_in_shape() -> None:
    array = np.array([[b"", "é\U0001f600".encode()], [b"a\0b", b"c"]], object)
    decoded, escape = decode_strings({"X": array})
    assert decoded["X"].tolist() == [["", "é\U0001f600"], ["a\0b", "c"]]
    assert escape is None
    assert encode_strings(decoded["X"], escape).tolist() == array.tolist()


def test_any_bytes_survive_the_round_trip_beside_private_use_characters() -> None:
    private = "\U00100000\U0010ff7f".encode()
    array = np.array([bytes(range(256)), b"\xff\xfe", private, b"\xed\xa0\x80", b"plain"], object)
    decoded, escape = decode_strings({"X": array})
    for text in decoded["X"].tolist():
        text.encode("utf-8")
    assert decoded["X"].tolist()[2:] == [private.decode(), decoded["X"][3], "plain"]
    assert encode_strings(decoded["X"], escape).tolist() == array.tolist()


def test_all_characters_of_a_block_survive_beside_all_bytes() -> None:
    block = "".join(map(chr, range(0x100000, 0x100080))).encode()
    array = np.array([block, bytes(range(0x80, 0x100))], object)
    decoded, escape = decode_strings({"X": array})
    assert encode_strings(decoded["X"], escape).tolist() == array.tolist()


def test_one_escape_serves_all_inputs() -> None:
    arrays = {"A": np.array([b"\x80"], object), "B": np.array(["\U00100000".encode()], object)}
    decoded, escape = decode_strings(arrays)
    assert encode_strings(decoded["A"], escape).tolist() == [b"\x80"]
    assert encode_strings(decoded["B"], escape).tolist() == ["\U00100000".encode()]


def test_batch_that_leaves_no_block_free_is_refused() -> None:
    everything = "".join(map(chr, range(0x100000, 0x10FFFE))).encode()
    with pytest.raises(BackendError, match="input 'X': expected UTF-8") as caught:
        decode_strings({"X": np.array([everything, b"\xff"], object)})
    assert caught.value.code == "INVALID_ARG"


def test_empty_tensors_stay_empty() -> None:
    decoded, escape = decode_strings({"X": np.empty((0, 3), object)})
    assert decoded["X"].shape == (0, 3)
    assert encode_strings(decoded["X"], escape).shape == (0, 3)
