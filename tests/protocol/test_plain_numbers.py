"""The quick reading of JSON numbers gives what the thorough one gives, or nothing."""

import orjson
import pytest

from despina.protocol.tensor_data import PlainNumbers, from_json

NUMBERS = ["FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
PLAIN = ["[1,2,3]", "[[1,2],[3]]", "[[[1,2,3]]]", "[ 0 ,127,\n0]"]
UNUSUAL = [
    "[1,2]",
    "[1,2,3,4]",
    "[]",
    "[[],1,2]",
    "[1,[2],3]",
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
]
FLOATS = [
    "[1,2,18446744073709551616]",
    "[0.1,-0.0,3]",
    "[1e-46,1e-40,3.4028235e38]",
    "[[16777217,0.30000001192092896],[9007199254740993]]",
]


@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("text", [*PLAIN, *UNUSUAL, *FLOATS, "[-1,2,3]", "[300,2,3]", "[1e39,2,3]", "[1.0,2,3]"])
def test_it_reads_what_the_thorough_way_reads_or_nothing(datatype: str, text: str) -> None:
    numbers = PlainNumbers.of(datatype, 3)
    assert numbers is not None
    quick = numbers.read(text.encode())
    if quick is not None:
        thorough = from_json(orjson.loads(text), "x", datatype, 3)
        assert (quick.dtype, quick.tobytes()) == (thorough.dtype, thorough.tobytes())


@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("text", PLAIN)
def test_plain_numbers_are_read(datatype: str, text: str) -> None:
    numbers = PlainNumbers.of(datatype, 3)
    assert numbers is not None
    assert numbers.read(text.encode()) is not None


@pytest.mark.parametrize("text", UNUSUAL)
def test_anything_else_is_not(text: str) -> None:
    for datatype in NUMBERS:
        numbers = PlainNumbers.of(datatype, 3)
        assert numbers is not None
        assert numbers.read(text.encode()) is None


def test_deep_nesting_is_left_to_the_thorough_way() -> None:
    numbers = PlainNumbers.of("FP32", 1)
    assert numbers is not None
    for depth, expected in ((1, [1.0]), (8, [1.0]), (20, None)):
        read = numbers.read(b"[" * depth + b"1" + b"]" * depth)
        assert (None if read is None else read.tolist()) == expected


@pytest.mark.parametrize("datatype", ["BOOL", "BYTES", "FP16", "BF16", "FP8"])
def test_other_datatypes_have_no_quick_way(datatype: str) -> None:
    assert PlainNumbers.of(datatype, 3) is None
