import pytest

from despina.models.settle import Settling


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        # (stamp, newest change, time of the look)
        ([("a", 100.0, 101.0)], [False]),
        ([("a", 100.0, 106.0)], [True]),
        ([("a", 100.0, 101.0), ("a", 100.0, 102.0)], [False, True]),
        ([("a", 100.0, 101.0), ("b", 101.5, 102.0), ("b", 101.5, 103.0)], [False, False, True]),
        ([("", None, 101.0), ("", None, 102.0)], [False, True]),
        ([("", None, 101.0), ("a", 101.0, 102.0), ("", None, 103.0)], [False, False, False]),
    ],
)
def test_a_change_is_taken_when_it_is_old_or_seen_twice(looks, expected):
    settling = Settling(settle_seconds=5)
    assert [settling.is_settled("m", *look) for look in looks] == expected


def test_models_settle_on_their_own_and_are_forgotten():
    settling = Settling(settle_seconds=5)
    settling.is_settled("m", "a", 100.0, 101.0)
    assert not settling.is_settled("n", "a", 100.0, 101.0)
    settling.forget("m")
    assert not settling.is_settled("m", "a", 100.0, 102.0)
