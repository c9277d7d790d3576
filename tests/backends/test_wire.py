import pytest

from despina_backends.wire import DelimitedField, delimited_fields


def read(message: bytes) -> list[DelimitedField]:
    return list(delimited_fields(memoryview(message)))


def test_only_fields_with_a_length_are_found_and_all_others_skipped() -> None:
    message = b"\x08\x96\x01" + b"\x12\x02ab" + b"\x1d1234" + b"\x2112345678" + b"\xfa\x01\x80\x01" + bytes(128)
    assert read(message) == [DelimitedField(2, 3, 5, 7), DelimitedField(31, 21, 25, 153)]


def test_an_empty_message_has_no_fields() -> None:
    assert read(b"") == []


@pytest.mark.parametrize("message", [b"\x12\x05ab", b"\x12", b"\x08\x80", b"\x1d12"])
def test_a_message_that_is_cut_off_is_told_from_one_that_is_none(message: bytes) -> None:
    with pytest.raises(IndexError):
        read(message)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x00\x01", "a field with number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "an integer of more than ten bytes"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(message)
