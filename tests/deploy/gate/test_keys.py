import pytest

from despina.deploy.gate.keys import Keys, make_keys, opens, regenerate
from despina.errors import InvalidArgument

KEYS = Keys("first", "second")


@pytest.mark.parametrize(
    ("authorization", "opened"),
    [
        (b"Bearer first", True),
        (b"Bearer second", True),
        (b"bearer first", True),
        (b"Bearer  first ", True),
        (b"Bearer third", False),
        (b"Bearer ", False),
        (b"Bearer", False),
        (b"first", False),
        (b"Basic first", False),
        (b"Bearer first second", False),
        (b"Bearer fir\xc3\xa8", False),
        (b"", False),
        (None, False),
    ],
)
def test_either_key_opens_and_nothing_else(authorization: bytes | None, opened: bool) -> None:
    assert opens(KEYS, authorization) is opened


def test_made_keys_differ_and_are_long() -> None:
    made = make_keys()
    assert made.primary != made.secondary
    assert min(len(made.primary), len(made.secondary)) >= 43
    assert make_keys("given").primary == "given"


def test_one_key_is_replaced_at_a_time() -> None:
    assert regenerate(KEYS, "Primary", "new") == Keys("new", "second")
    assert regenerate(KEYS, "secondary", "new") == Keys("first", "new")
    assert regenerate(KEYS, "Primary").primary not in ("first", "second")


@pytest.mark.parametrize(("which", "value"), [("Third", None), ("Primary", "a b"), ("Primary", "è"), ("Primary", "")])
def test_bad_requests_for_a_key(which: str, value: str | None) -> None:
    with pytest.raises(InvalidArgument):
        regenerate(KEYS, which, value)


@pytest.mark.parametrize("authorization", [b"Bearer", b"Bearer ", b"Bearer  "])
def test_empty_key_opens_nothing(authorization: bytes) -> None:
    assert not opens(Keys("", "second"), authorization)


def test_keys_that_are_given_are_kept() -> None:
    assert make_keys("a", "b") == Keys("a", "b")
    assert make_keys("a").primary == "a"
    assert make_keys(secondary="b").secondary == "b"
    assert make_keys("a").secondary != make_keys("a").secondary
