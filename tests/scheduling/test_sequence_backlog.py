from despina.scheduling.sequence import Sequence
from despina.scheduling.sequence_backlog import Backlog


def backlog_of(count: int) -> tuple[Backlog, list[Sequence]]:
    backlog, sequences = Backlog(), [Sequence(number, ()) for number in range(count)]
    for sequence in sequences:
        backlog.append(sequence)
    return backlog, sequences


def test_the_first_that_came_leaves_first() -> None:
    backlog, sequences = backlog_of(3)
    assert [backlog.pop() for _ in range(3)] == sequences
    assert len(backlog) == 0


def test_the_earliest_of_several_limits_counts() -> None:
    backlog, (sequence, _) = backlog_of(2)
    for expires_ns in (50, 20, 90):
        backlog.limit(sequence, expires_ns)
    assert backlog.next_expiry_ns() == 20
    assert backlog.expired(19) == []
    assert backlog.expired(20) == [sequence]
    assert (backlog.next_expiry_ns(), len(backlog)) == (0, 1)


def test_who_has_left_does_not_expire() -> None:
    backlog, (first, second) = backlog_of(2)
    backlog.limit(first, 10)
    backlog.limit(second, 20)
    assert backlog.pop() is first
    assert backlog.next_expiry_ns() == 20
    backlog.remove(second)
    backlog.remove(second)
    assert (backlog.next_expiry_ns(), backlog.expired(99)) == (0, [])
