import pytest

from despina.errors import InvalidArgument
from despina.protocol.model_version import read_version

MAX = (1 << 63) - 1


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1", 1),
        ("01", 1),
        ("+1", 1),
        (" \t\n\v\f\r1", 1),
        ("1abc", 1),
        ("1.5", 1),
        ("0", 0),
        ("-0", 0),
        (str(MAX), MAX),
        ("0" * 5000 + "7", 7),
    ],
)
def test_a_version_is_the_number_that_a_text_begins_with(text: str, version: int) -> None:
    assert read_version(text) == version


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "-abc", "--1", "é", "\u0661", str(MAX + 1), str(-MAX - 2), "9" * 5000]
)
def test_a_text_that_begins_with_none_of_64_bits_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read_version(text)
    assert raised.value.message == (
        f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
        "integral value > 0"
    )


@pytest.mark.parametrize("text", ["-1", str(-MAX - 1), " -1x"])
def test_a_version_is_not_negative(text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read_version(text)
    assert raised.value.message == (
        f"invalid model version specified '{text}' , version should be an integral value > 0"
    )
