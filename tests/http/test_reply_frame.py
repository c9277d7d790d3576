import numpy as np
import pytest

from despina.http.reply_frame import Form, filled, frame_around


@pytest.mark.parametrize(
    "array", [np.float32(1).reshape(()), np.empty((0, 2), "<f4"), np.ones((2, 3), "<f4").T, np.ones((9, 999), "<f4").T]
)
def test_outputs_that_do_not_lie_as_usual_have_no_frame(array: np.ndarray) -> None:
    assert frame_around("m", 1, [("X", "FP32")], ["binary"], [array]) is None


def test_a_frame_is_not_filled_with_what_does_not_lie_as_usual() -> None:
    array = np.arange(9_999, dtype="<f4").reshape(9, 1_111)
    frame = frame_around("m", 1, [("X", "FP32")], ["binary"], [array])
    assert frame is not None
    assert filled(frame, [array], "") is not None
    assert filled(frame, [array.reshape(1_111, 9).T], "") is None


def test_texts_as_binary_data_come_with_the_size_they_have() -> None:
    outputs = [("N", "FP32"), ("T", "BYTES"), ("J", "BYTES")]
    numbers, short, long = np.ones(1, "<f4"), np.array([b"a"], object), np.array(["\u00e9" * 4], object)
    frame = frame_around("m", 1, outputs, ["binary", "binary", "JSON"], [numbers, short, short])
    assert frame is not None
    for texts, data, written in ((short, b"\1\0\0\0a", b"a"), (long, b"\x08\0\0\0" + "\u00e9".encode() * 4, long[0])):
        reply = filled(frame, [numbers, texts, texts], "7")
        assert reply is not None
        buffers, size, length = reply
        text, *tensors = map(bytes, buffers)
        assert tensors == [numbers.tobytes(), data]
        assert (length, size) == (len(text), len(text) + 4 + len(data))
        spelled = written if isinstance(written, str) else written.decode()
        assert text.decode() == (
            '{"id":"7","model_name":"m","model_version":"1","outputs":['
            '{"name":"N","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}},'
            f'{{"name":"T","datatype":"BYTES","shape":[1],"parameters":{{"binary_data_size":{len(data)}}}}},'
            f'{{"name":"J","datatype":"BYTES","shape":[1],"data":["{spelled}"]}}]}}'
        )


@pytest.mark.parametrize("text", ["a", "\u00e9" * 4])
def test_the_only_texts_as_binary_data_come_with_the_size_they_have(text: str) -> None:
    texts = np.array([text, ""], object)
    frame = frame_around("m", 1, [("T", "BYTES")], ["binary"], [texts])
    assert frame is not None
    data = len(text.encode()).to_bytes(4, "little") + text.encode() + bytes(4)
    said = (
        b'{"id":"7","model_name":"m","model_version":"1","outputs":['
        b'{"name":"T","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":%d}}]}' % len(data)
    )
    assert filled(frame, [texts], "7") == ([said, data], len(said) + len(data), len(said))


@pytest.mark.parametrize("form", ["JSON", "binary"])
def test_a_frame_is_made_without_writing_the_data(monkeypatch: pytest.MonkeyPatch, form: Form) -> None:
    def write(*data: object) -> bytes:
        raise AssertionError("as long as writing the reply twice")

    texts = np.array([b"a", b"b"], object)
    frame = frame_around("m", 1, [("X", "BYTES")], [form], [texts])
    monkeypatch.setattr("despina.protocol.encode.json_data", write)
    monkeypatch.setattr("despina.protocol.bytes_tensor.encode", write)
    assert frame_around("m", 1, [("X", "BYTES")], [form], [texts]) == frame
