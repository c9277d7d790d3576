"""The two lengths that headers give: of the body, and of its JSON."""

import pytest

from despina.errors import DespinaError
from despina.protocol.decode import content_length, header_length


@pytest.mark.parametrize(("value", "size", "length"), [("5", 9, 5), (" 5x", 9, 5), ("0", 9, 0), ("000", 9, 0)])
def test_the_json_length_is_read_like_a_c_integer(value: str, size: int, length: int) -> None:
    assert header_length(value, size) == length


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "Unable to parse Inference-Header-Content-Length, got: x"),
        ("10", "inference header size should be in range (0, 9), got: 10"),
        ("-1", "inference header size should be in range (0, 9), got: -1"),
        (
            "4294967296",
            "Unable to parse Inference-Header-Content-Length, value is out of range [ -2147483648, 2147483647 ], got: "
            "4294967296",
        ),
    ],
)
def test_a_wrong_json_length_is_refused(value: str, text: str) -> None:
    with pytest.raises(DespinaError) as caught:
        header_length(value, 9)
    assert (caught.value.status, caught.value.message) == (400, text)


def test_a_content_length_must_fit_32_bits() -> None:
    assert content_length("123") == 123
    with pytest.raises(DespinaError, match="value is out of range"):
        content_length("2147483648")


@pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 5000, "0" * 5000 + "9" * 12])
def test_a_header_length_of_thousands_of_digits_is_out_of_range(value: str) -> None:
    with pytest.raises(DespinaError, match="value is out of range"):
        header_length(value, 10)


def test_zeros_before_a_header_length_do_not_count() -> None:
    assert header_length("+" + "0" * 5000 + "7", 10) == 7
