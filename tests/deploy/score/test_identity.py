import pytest

from despina.deploy.score.identity import IdTooLong, read_ids

REQUEST, LEGACY, CLIENT = "x-request-id", "x-ms-request-id", "x-ms-client-request-id"


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ({}, {REQUEST: "made", LEGACY: "made"}),
        ({REQUEST: "a"}, {REQUEST: "a", LEGACY: "a"}),
        ({CLIENT: "c"}, {REQUEST: "made", LEGACY: "c", CLIENT: "c"}),
        ({LEGACY: "l"}, {REQUEST: "made", LEGACY: "l", CLIENT: "l"}),
        ({REQUEST: "a", LEGACY: "l", CLIENT: "c"}, {REQUEST: "a", LEGACY: "l", CLIENT: "c"}),
    ],
)
def test_which_ids_go_back(given: dict[str, str], answered: dict[str, str]) -> None:
    assert dict(read_ids(given, lambda: "made").headers()) == answered


@pytest.mark.parametrize(
    ("given", "message", "known"),
    [
        ({REQUEST: "a" * 101}, "x-request-id must not exceed 100 characters", {}),
        (
            {CLIENT: "a" * 101},
            "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters",
            {REQUEST: "made"},
        ),
        (
            {LEGACY: "a" * 101},
            "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters",
            {REQUEST: "made"},
        ),
        (
            {LEGACY: "a" * 101, CLIENT: "c"},
            "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters",
            {REQUEST: "made"},
        ),
    ],
)
def test_long_ids_are_refused(given: dict[str, str], message: str, known: dict[str, str]) -> None:
    with pytest.raises(IdTooLong) as caught:
        read_ids(given, lambda: "made")
    assert caught.value.message == message
    assert dict(caught.value.known.headers()) == known


def test_a_hundred_characters_are_allowed() -> None:
    assert read_ids({REQUEST: "a" * 100}, lambda: "made").request == "a" * 100
