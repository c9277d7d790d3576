import pytest

from despina_backends.base import BackendError
from despina_backends.onnxruntime.parameters import boolean, integer, leading_integer, own_boolean


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("ON", True), ("1", True), ("False", False), ("off", False), ("0", False)]
)
def test_spellings_of_booleans(text: str, value: bool) -> None:
    assert boolean(text) is value


def test_other_words_are_refused() -> None:
    with pytest.raises(BackendError, match=r"^failed to convert 'yes' to boolean$"):
        boolean("yes")
    with pytest.raises(BackendError, match=r"^failed to convert '1.5' to integral number$"):
        integer("1.5")
    with pytest.raises(BackendError, match=r"^failed to convert '.5' to integral number$"):
        leading_integer(".5")


@pytest.mark.parametrize(("text", "value"), [("3", 3), (" -1", -1), ("+2 ", 2), ("1.5", 1), ("4x", 4), ("08", 8)])
def test_some_numbers_are_read_as_far_as_they_go(text: str, value: int) -> None:
    assert leading_integer(text) == value


def test_parameters_of_our_own_are_named_when_they_are_wrong() -> None:
    assert own_boolean({"share_session": "TRUE"}, "share_session")
    assert not own_boolean({}, "share_session")
    with pytest.raises(BackendError, match=r"^parameter 'share_session': expected true or false, got 'maybe'$"):
        own_boolean({"share_session": "maybe"}, "share_session")
