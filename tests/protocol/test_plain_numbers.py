"""The quick reading of JSON numbers gives what the thorough one gives, or nothing."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from despina.protocol import plain_numbers
from despina.protocol.datatypes import DATATYPES
from despina.protocol.messages import Array
from despina.protocol.plain_numbers import HAS_SIMDJSON, KEPT_SIZE, Booleans, BySimdjson, ByStruct, PlainNumbers
from despina.protocol.tensor_data import MAX_DEPTH, from_json

needs_simdjson = pytest.mark.skipif(not HAS_SIMDJSON, reason="simdjson has no wheels for this Python")
ways = pytest.mark.parametrize("way", [pytest.param(BySimdjson, marks=needs_simdjson), ByStruct])
Way = type[PlainNumbers]

NUMBERS = ["FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
PLAIN = ["[1,2,3]", "[[1,2],[3]]", "[[[1,2,3]]]", "[1,[2],3]", "[[],[1,2,3]]", "[ 0 ,127,\n0]"]
UNUSUAL = [
    "[1,2]",
    "[1,2,3,4]",
    "[]",
    "[[],1,2]",
    "[true,2,3]",
    "[1,false,3]",
    '["1","2","3"]',
    '["123"]',
    '[["1"],2,3]',
    "[null,1,2]",
    "[{},1,2]",
    "[1,2,3",
    "[1,2,1e999]",
    "7",
    "{}",
    " [1,2,3]",
    "\ufeff[1,2,3]",
    "[1,2,3]\0",
    "[1,2,3] 4",
    "[1,2,03]",
    "[1,2,3.]",
    "[1,2,NaN]",
    "[1,2,]",
    "[1,2,3]]",
    "[[1,2,3]",
]
FLOATS = [
    "[1,2,18446744073709551616]",
    "[0.1,-0.0,3]",
    "[1e-46,1e-40,3.4028235e38]",
    "[[16777217,0.30000001192092896],[9007199254740993]]",
]


@ways
@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("text", [*PLAIN, *UNUSUAL, *FLOATS, "[-1,2,3]", "[300,2,3]", "[1e39,2,3]", "[1.0,2,3]"])
def test_it_reads_what_the_thorough_way_reads_or_nothing(way: Way, datatype: str, text: str) -> None:
    same_or_nothing(way, datatype, text)


@needs_simdjson
@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("text", PLAIN)
def test_plain_numbers_are_read(datatype: str, text: str) -> None:
    assert read(BySimdjson, datatype, 3, text) is not None


@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("text", [text for text in PLAIN if "[" not in text[1:]])
def test_without_simdjson_those_that_are_not_nested_are(datatype: str, text: str) -> None:
    assert read(ByStruct, datatype, 3, text) is not None


@ways
@pytest.mark.parametrize("text", UNUSUAL)
def test_anything_else_is_not(way: Way, text: str) -> None:
    for datatype in NUMBERS:
        assert read(way, datatype, 3, text) is None


@needs_simdjson
@pytest.mark.parametrize("depth", [1, 8, MAX_DEPTH - 1])
def test_nested_numbers_are_read_as_deep_as_allowed(depth: int) -> None:
    found = nested(depth)
    assert found is not None
    assert found.tolist() == [1.0]


@needs_simdjson
@pytest.mark.parametrize("depth", [MAX_DEPTH, 2000])
def test_deeper_nesting_is_left_to_the_thorough_way(depth: int) -> None:
    assert nested(depth) is None


def nested(depth: int) -> Array | None:
    return read(BySimdjson, "FP32", 1, "[" * depth + "1" + "]" * depth)


@ways
def test_texts_beyond_the_size_that_a_parser_keeps_are_read(way: Way) -> None:
    count = KEPT_SIZE // 8
    expected = np.arange(count) / 7
    text = orjson.dumps(expected.tolist()).decode()
    assert len(text) > KEPT_SIZE
    found = read(way, "FP64", count, text)
    assert found is not None
    assert np.array_equal(found, expected)


json_numbers = st.recursive(
    st.one_of(
        st.integers(-(2**64), 2**65).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.sampled_from(["true", "null", '"1"', "-", "1e5", "-0", "1E+400", "0x1"]),
    ),
    lambda inner: st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=8,
)


@ways
@given(items=st.lists(json_numbers, min_size=3, max_size=3))
def test_whatever_is_read_is_what_the_thorough_way_reads(way: Way, items: list[str]) -> None:
    for datatype in NUMBERS:
        same_or_nothing(way, datatype, f"[{','.join(items)}]")


@pytest.mark.parametrize("text", ["[true,false,true]", "[ true ,false,\n\ttrue\r]"])
def test_booleans_that_are_not_nested_are_read(text: str) -> None:
    found = read(Booleans, "BOOL", 3, text)
    assert found is not None
    assert found.dtype == bool
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        *PLAIN,
        *UNUSUAL,
        "true",
        "[[true],false,true]",
        "[[true,true,true]]",
        "[true,false]",
        "[true,false,true,true]",
        "[true,false,0]",
        "[true,false,1]",
        "[true,false,null]",
        '[true,false,"true"]',
        "[true,false,tru e]",
        "[true,false,True]",
        "[true,false,true,]",
        "[true,false,true",
        "[true,false,true]]",
        "[true,,false,true]",
        " [true,false,true]",
    ],
)
def test_anything_but_booleans_is_left_to_the_thorough_way(text: str) -> None:
    assert read(Booleans, "BOOL", 3, text) is None


@given(st.lists(st.sampled_from(["true", "false", ",", " ", "[", "]", "t", "0", "1", "2", "null"]), max_size=9))
def test_whatever_is_read_as_booleans_is_what_the_thorough_way_reads(pieces: list[str]) -> None:
    same_or_nothing(Booleans, "BOOL", f"[{''.join(pieces)}]")


def same_or_nothing(way: Way, datatype: str, text: str) -> None:
    quick = read(way, datatype, 3, text)
    if quick is not None:
        thorough = from_json(orjson.loads(text), "x", datatype, 3)
        assert (quick.dtype, quick.tobytes()) == (thorough.dtype, thorough.tobytes())


def read(way: Way, datatype: str, count: int, text: str) -> Array | None:
    return way(DATATYPES[datatype], count).read(text.encode())


@pytest.mark.parametrize("datatype", ["BYTES", "FP16", "BF16", "FP8"])
def test_other_datatypes_have_no_quick_way(datatype: str) -> None:
    assert PlainNumbers.of(datatype, 3) is None


@pytest.mark.parametrize(("has_simdjson", "way"), [(True, BySimdjson), (False, ByStruct)])
def test_simdjson_is_preferred(has_simdjson: bool, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_numbers, "HAS_SIMDJSON", has_simdjson)
    assert type(PlainNumbers.of("FP32", 3)) is way
    assert type(PlainNumbers.of("BOOL", 3)) is Booleans
