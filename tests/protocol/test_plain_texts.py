import orjson
import pytest

from despina.errors import DespinaError
from despina.protocol.plain_texts import PlainTexts

BOTH = pytest.mark.parametrize("text", [False, True])


@BOTH
def test_a_flat_list_of_strings_is_read_as_the_model_takes_them(text: bool) -> None:
    found = PlainTexts(2, text, 100).read('["a", "\u00e9"]'.encode()).tolist()
    assert found == (["a", "\u00e9"] if text else [b"a", "\u00e9".encode()])


@BOTH
@pytest.mark.parametrize(
    "data",
    [
        b'["a"]',
        b'["a","b","c"]',
        b"[]",
        b'["a",1]',
        b'["a",null]',
        b'[["a","b"]]',
        b'[["a"],["b"]]',
        b'{"a":"b","c":"d"}',
        b'"ab"',
        b'["a","\xff"]',
        b'["a","\\ud800"]',
        b'["a","b"',
    ],
)
def test_anything_else_is_left_to_the_full_decoding(text: bool, data: bytes) -> None:
    with pytest.raises((DespinaError, orjson.JSONDecodeError)):
        PlainTexts(2, text, 100).read(data)


def test_only_texts_are_cut_where_the_model_takes_them() -> None:
    data = b"\1\0\0\0a\1\0\0\0\xff"
    assert PlainTexts(2, True, 100).cut(data) is None
    array = PlainTexts(2, False, 100).cut(data)
    assert array is not None
    assert array.tolist() == [b"a", b"\xff"]


@BOTH
@pytest.mark.parametrize("count", [1, 3])
def test_more_or_fewer_elements_are_left_to_the_full_decoding(text: bool, count: int) -> None:
    assert PlainTexts(count, text, 100).cut(b"\1\0\0\0a\1\0\0\0b") is None
