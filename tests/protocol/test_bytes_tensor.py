import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from despina.errors import InvalidArgument
from despina.protocol.bytes_tensor import MANY, decode, decode_texts, encode, held_bytes

SHORT = [b"", b"a", "\u00e9".encode(), b"x" * 127, b"x" * 128, b"x" * 255]
ODD = [b"\0", b"\0\0\0\0", b"\xff\xfe", b"y" * 256, b"\1\0\0\0", b"z" * 70_000]


def wire(elements: list[bytes]) -> bytes:
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def array_of(elements: list[bytes] | list[str]) -> np.ndarray:
    return np.fromiter(elements, np.object_, len(elements))


def many(element: bytes) -> list[bytes]:
    """More than enough short ones and, among them, one of another kind."""
    return [b"%d" % number for number in range(MANY)] + [element] + [b"text"] * 3


def decoded(data: bytes, count: int) -> list[bytes]:
    found: list[bytes] = decode(memoryview(data), count, "X", "m", "").tolist()
    return found


def slowly(data: bytes) -> list[bytes]:
    """The elements of a text that is whole."""
    elements = []
    while data:
        length = int.from_bytes(data[:4], "little")
        elements.append(data[4 : 4 + length])
        data = data[4 + length :]
    return elements


@pytest.mark.parametrize("element", SHORT + ODD)
def test_many_elements_are_cut_and_joined_like_few(element: bytes) -> None:
    for elements in (many(element), [element], [element] * MANY):
        assert encode(array_of(elements)) == wire(elements)
        assert decoded(wire(elements), len(elements)) == elements


@pytest.mark.parametrize("element", SHORT + ODD)
def test_texts_are_cut_where_all_elements_are_utf8(element: bytes) -> None:
    for elements in (many(element), [element], [element] * MANY):
        if element == b"\xff\xfe":
            assert decode_texts(wire(elements), len(elements)) is None
            continue
        texts = [each.decode() for each in elements]
        assert decode_texts(wire(elements), len(elements)) == texts
        assert encode(array_of(texts)) == wire(elements)


@pytest.mark.parametrize("count", [MANY - 2, MANY - 1, MANY + 1, MANY + 2])
def test_more_or_fewer_elements_than_announced_are_no_texts(count: int) -> None:
    data = wire([b"text"] * MANY)
    assert decode_texts(data, count) is None
    with pytest.raises(InvalidArgument, match="string elements"):
        decoded(data, count)


@pytest.mark.parametrize("data", [b"\1", b"\5\0\0\0abc", b"\0\0\0\0\0"])
def test_elements_that_are_cut_short_are_no_texts(data: bytes) -> None:
    assert decode_texts(data, 1) is None
    assert decode_texts(wire([b"text"] * (MANY - 1)) + data, MANY) is None


TEXTS = wire([b"text"] * MANY)


@pytest.mark.parametrize(
    "data",
    [
        b"\5" + TEXTS,
        TEXTS[:8] + b"\5" + TEXTS[9:],
        TEXTS[:8] + b"\4\0\0xa\0bc" + TEXTS[16:],
        TEXTS[:8] + b"\4x\0\0a\0bc" + TEXTS[16:],
        TEXTS[:-1],
        TEXTS + b"x",
        b"\0" + TEXTS[1:-1] + b"x\0\0",
        wire([b"text"] * 9 + [b""] + [b"text"] * (MANY - 11)) + b"\4\0\0",
    ],
)
def test_lengths_that_do_not_lead_from_one_element_to_the_next_are_no_texts(data: bytes) -> None:
    assert decode_texts(data, MANY) is None
    with pytest.raises(InvalidArgument):
        decoded(data, MANY)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("element", SHORT + ODD)
def test_elements_of_every_kind_are_cut_and_written_in_tensors_of_every_size(count: int, element: bytes) -> None:
    for place in {0, count // 2, count - 1}:
        elements = [b"text"] * count
        elements[place] = element
        assert encode(array_of(elements)) == wire(elements)
        assert decoded(wire(elements), count) == elements
        if element != b"\xff\xfe":
            texts = [each.decode() for each in elements]
            assert encode(array_of(texts)) == wire(elements)
            assert decode_texts(wire(elements), count) == texts


def test_an_element_of_more_than_16_mib_is_cut_like_others_whatever_nuls_there_are() -> None:
    # Its length has one NUL only, and the two that are missing begin another element.
    elements = [b"\0\0abc", b"x" * 0x01010001, *[b"text"] * 70_000]
    assert decoded(wire(elements), len(elements)) == elements
    assert decode_texts(wire(elements), len(elements)) == [element.decode() for element in elements]


@pytest.mark.parametrize("before", [0, MANY])
@pytest.mark.parametrize(
    ("data", "count", "reason"),
    [
        (b"", 1, "expected {count} string elements for inference input 'X' for model 'm', got {before}"),
        (
            b"\1\0\0",
            1,
            "incomplete string length indicator for inference input 'X' for model 'm', expecting 4 bytes but only 3 "
            "bytes available. Please make sure the string length indicator is in one buffer.",
        ),
        (
            b"\5\0\0\0abc",
            1,
            "incomplete string data for inference input 'X', expecting string of length 5 but only 3 bytes available",
        ),
        (
            b"\xff\xff\xff\xffabc",
            1,
            "incomplete string data for inference input 'X', expecting string of length 4294967295 but only 3 bytes "
            "available",
        ),
        (
            b"\xff\xff\xff\xffabc",
            2,
            "expected {count} string elements for inference input 'X' for model 'm', got {one_more}",
        ),
        (
            b"\1\0\0\0a\1\0\0\0b",
            1,
            "unexpected number of string elements {one_too_many} for inference input 'X' for model 'm', expecting "
            "{count}",
        ),
        (
            b"\1\0\0\0a\1",
            1,
            "incomplete string length indicator for inference input 'X' for model 'm', expecting 4 bytes but only 1 "
            "bytes available. Please make sure the string length indicator is in one buffer.",
        ),
    ],
)
def test_what_is_wrong_is_said_behind_few_elements_and_behind_many(
    before: int, data: bytes, count: int, reason: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decoded(wire([b"text"] * before) + data, before + count)
    numbers = {"before": before, "one_more": before + 1, "count": before + count, "one_too_many": before + count + 1}
    assert caught.value.message == reason.format(**numbers)


@pytest.mark.parametrize("count", [1, 20, MANY])
def test_half_of_a_surrogate_pair_cannot_be_written(count: int) -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(array_of(["text"] * (count - 1) + ["\ud800"]))


ELEMENTS = st.one_of(st.sampled_from([b"a", b"text", "\u00e9".encode()]), st.binary(max_size=3))


def test_a_piece_of_a_length_behind_the_last_element_is_no_further_element() -> None:
    with pytest.raises(InvalidArgument, match=r"incomplete string length indicator .* only 3 bytes available"):
        decoded(wire([b"text"]) + b"\0\0\0", 1)
    with pytest.raises(InvalidArgument, match="unexpected number of string elements 2 "):
        decoded(wire([b"text"]) + b"\0\0\0\0", 1)


@given(st.lists(ELEMENTS, min_size=MANY, max_size=MANY + 4), st.data())
def test_what_was_changed_at_any_place_is_never_cut_otherwise(elements: list[bytes], data: st.DataObject) -> None:
    changed = bytearray(wire(elements))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.sampled_from([0, 1, 2, 3, 4, 7, 8, 255]))
    texts = decode_texts(bytes(changed), len(elements))
    if texts is not None:
        assert [text.encode() for text in texts] == decoded(bytes(changed), len(elements)) == slowly(bytes(changed))


@given(st.lists(st.text(max_size=5), min_size=MANY, max_size=MANY + 4))
def test_texts_are_written_like_their_bytes(texts: list[str]) -> None:
    assert encode(array_of(texts)) == wire([text.encode() for text in texts])


def test_a_text_counts_like_its_bytes() -> None:
    texts = ["ab", "c", "\u00e9\u4e2d\U0001f600"]
    assert held_bytes(array_of(texts)) == held_bytes(array_of([text.encode() for text in texts]))
