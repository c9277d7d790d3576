import pytest

from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import FifoQueue, QueueFull, QueueLimits


def request(name: str = "", rows: int = 1, byte_size: int = 0) -> Pending:
    return Pending({}, rows, lambda _: None, id=name, byte_size=byte_size)


def names(requests) -> str:
    return " ".join(pending.id for pending in requests)


def test_first_in_first_out() -> None:
    queue = FifoQueue(QueueLimits())
    for name in "abc":
        queue.push(request(name, 2))
    assert (names(queue), len(queue), queue.rows) == ("a b c", 3, 6)
    assert names(queue.take(2)) == "a b"
    assert (names(queue), queue.rows) == ("c", 2)
    assert names(queue.take(1)) == "c"
    assert (names(queue), len(queue), queue.rows) == ("", 0, 0)


def test_taking_all_makes_room_for_all() -> None:
    queue = FifoQueue(QueueLimits(rows=2, byte_size=20))
    for _ in range(2):
        for name in "ab":
            queue.push(request(name, 1, 10))
        assert names(queue.take(2)) == "a b"


@pytest.mark.parametrize("limits", [QueueLimits(rows=4), QueueLimits(byte_size=40)], ids=["rows", "bytes"])
def test_what_exceeds_a_limit_is_refused_until_there_is_room(limits: QueueLimits) -> None:
    queue = FifoQueue(limits)
    queue.push(request(rows=3, byte_size=30))
    with pytest.raises(QueueFull, match=r"^\[request id: late\] Exceeds maximum queue size$"):
        queue.push(request("late", 2, 20))
    queue.push(request(rows=1, byte_size=10))
    queue.take(1)
    queue.push(request(rows=2, byte_size=20))


def test_a_request_larger_than_the_limit_may_wait_alone() -> None:
    queue = FifoQueue(QueueLimits(rows=4))
    queue.push(request(rows=5))
    with pytest.raises(QueueFull):
        queue.push(request())


def test_cancelled_requests_make_room() -> None:
    queue = FifoQueue(QueueLimits(rows=3, byte_size=30))
    for name in "abc":
        queue.push(request(name, 1, 10))
    gone = list(queue)[1]
    gone.cancel()
    assert names(queue.discard_cancelled([gone])) == "b"
    queue.push(request("d", 1, 10))
    assert names(queue) == "a c d"
