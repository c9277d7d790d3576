import pytest

from despina.errors import InvalidArgument
from despina.telemetry.tracing.values import TraceValues, as_count, as_levels, as_natural, render


@pytest.mark.parametrize(
    ("names", "levels"),
    [
        (["OFF"], ()),
        ([], ()),
        (["SOMETHING"], ()),
        (["TIMESTAMPS"], ("TIMESTAMPS",)),
        (["TENSORS", "TIMESTAMPS"], ("TIMESTAMPS", "TENSORS")),
    ],
)
def test_levels_are_ordered_and_unknown_names_ignored(names: list[str], levels: tuple[str, ...]) -> None:
    assert as_levels(names, len(names)) == levels


def test_off_stands_alone() -> None:
    with pytest.raises(InvalidArgument, match=r"^Expect only one trace level 'OFF' is specified$"):
        as_levels(["OFF", "TENSORS"], 2)


@pytest.mark.parametrize(
    ("text", "value"), [("50", 50), ("0", 0), ("+7", 7), (" 12abc", 12), ("-1", 4294967295), ("2147483647", 2147483647)]
)
def test_natural_numbers_are_read_as_c_reads_them(text: str, value: int) -> None:
    assert as_natural("trace_rate", text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "Unable to parse 'trace_rate', got: many"),
        ("", "Unable to parse 'trace_rate', got: "),
        (
            "2147483648",
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: 2147483648",
        ),
        (
            "9" * 5000,
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: " + "9" * 5000,
        ),
    ],
)
def test_bad_numbers_are_quoted(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        as_natural("trace_rate", text)
    assert error.value.message == message


@pytest.mark.parametrize(("text", "value"), [("-1", -1), ("0", 0), ("2147483647", 2147483647)])
def test_a_count_may_have_no_end(text: str, value: int) -> None:
    assert as_count(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-2", "Unable to parse 'trace_count'. Expecting value >= -1, got:-2"),
        ("x", "Unable to parse 'trace_count', got: x"),
        ("2147483648", "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: 2147483648"),
    ],
)
def test_a_bad_count_is_quoted(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        as_count(text)
    assert error.value.message == message


def test_numbers_are_shown_as_texts() -> None:
    assert render(TraceValues(("TENSORS",), 9, 3, 2)) == {
        "trace_level": ["TENSORS"],
        "trace_rate": "9",
        "trace_count": "3",
        "log_frequency": "2",
    }
    assert render(TraceValues())["trace_level"] == ["OFF"]
