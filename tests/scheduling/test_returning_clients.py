from collections.abc import Iterable

import pytest

from despina.scheduling.pending import Pending
from despina.scheduling.returning_clients import AWAKE_NS, MOST_SKIPPED, SKIPPED, WAIT_NS, ReturningClients

US = 1_000
LONG = 10 * (WAIT_NS + AWAKE_NS)


def requests(clients: Iterable[object]) -> list[Pending]:
    return [Pending({}, 1, lambda pending: None, client=client) for client in clients]


class Rounds:
    """ReturningClients of requests whose clients are known by letters; where there is but a number, each is another."""

    def __init__(self) -> None:
        self._rounds = ReturningClients()

    def ran(self, clients: str | int) -> None:
        self._rounds.ran(self._requests(clients))

    def waits(self, clients: str | int, now_ns: int) -> bool:
        pending = self._requests(clients)
        return self._rounds.waits(pending, len(pending), now_ns)

    def _requests(self, clients: str | int) -> list[Pending]:
        return requests(clients if isinstance(clients, str) else [object() for _ in range(clients)])


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


def test_without_a_batch_on_the_loop_nobody_waits(rounds) -> None:
    assert not rounds.waits(0, 0)
    assert not rounds.waits(1, 0)
    rounds.ran(4)
    rounds.ran(0)
    assert not rounds.waits(0, 0)
    assert not rounds.waits(1, 0)


def test_nobody_waits_for_clients_who_are_not_known() -> None:
    rounds = ReturningClients()
    rounds.ran(requests([None, None]))
    assert not rounds.waits([], 0, 0)
    rounds.ran(requests([None, "a"]))
    assert rounds.waits([], 0, LONG)
    assert not rounds.waits(requests(["a"]), 1, LONG + 1)


def test_the_loop_stays_awake_until_a_client_asks_again(rounds) -> None:
    for now in range(0, 10 * LONG, LONG):
        rounds.ran(1)
        assert rounds.waits(0, now)
        assert rounds.waits(0, now + 49 * US)
        assert not rounds.waits(1, now + 50 * US)


def test_nobody_waits_when_the_next_batch_is_full_already_and_the_queue_is_not_looked_through() -> None:
    rounds = ReturningClients()
    rounds.ran(requests("ab"), full=True)
    unread = iter(requests("cd"))
    assert not rounds.waits(unread, 2, LONG)
    assert len(list(unread)) == 2
    rounds.ran(requests("ab"), full=True)
    assert rounds.waits(requests("c"), 1, 2 * LONG)
    rounds.ran(requests("ab"))
    assert rounds.waits(requests("cd"), 2, 3 * LONG)


def test_it_does_not_stay_awake_for_long(rounds) -> None:
    rounds.ran(2)
    assert rounds.waits(0, LONG)
    assert rounds.waits(0, LONG + AWAKE_NS - 1)
    assert not rounds.waits(0, LONG + AWAKE_NS)
    assert not rounds.waits(0, LONG + AWAKE_NS + 1)
    assert rounds.waits(1, 2 * LONG)  # late, but there may be another one


def test_after_having_stayed_awake_in_vain_it_does_not_for_some_batches(rounds) -> None:
    now = 0

    def stays_awake() -> bool:
        nonlocal now
        now += LONG
        rounds.ran(1)
        if not rounds.waits(0, now):
            return False
        assert not rounds.waits(0, now + AWAKE_NS)
        return True

    assert stays_awake()
    assert [stays_awake() for _ in range(SKIPPED)] == [False] * SKIPPED
    assert stays_awake()


def test_two_groups_become_one(rounds) -> None:
    rounds.ran(2)
    assert rounds.waits(2, 0)  # two asked while it ran
    assert rounds.waits(3, 20 * US)
    assert not rounds.waits(4, 40 * US)
    rounds.ran(4)
    assert rounds.waits(0, 100 * US)
    assert rounds.waits(1, 150 * US)
    assert not rounds.waits(4, 160 * US)


@pytest.mark.parametrize("back", ["a", "ab", "abc"])
def test_who_is_back_already_is_not_expected_once_more(rounds, back) -> None:
    for now in range(0, 10 * LONG, LONG):
        rounds.ran("abcd")
        assert rounds.waits(back, now)
        assert not rounds.waits("abcd", now + 10 * US)
        rounds.ran("abcd")
        assert not rounds.waits("abcd", now + 20 * US)


def test_who_asked_in_the_meantime_is_expected_beside_those_who_were_answered(rounds) -> None:
    rounds.ran("ab")
    assert rounds.waits("ca", 0)
    assert not rounds.waits("cab", 10 * US)


def test_who_was_answered_earlier_has_asked_in_the_meantime(rounds) -> None:
    rounds.ran("ab")
    assert rounds.waits("c", 0)
    rounds.ran("c")
    assert rounds.waits("ab", 0)
    assert not rounds.waits("abc", 10 * US)


def test_who_does_not_come_back_is_waited_for_once_and_not_long(rounds) -> None:
    rounds.ran(4)
    assert rounds.waits(3, LONG)
    assert rounds.waits(3, LONG + WAIT_NS - 1)
    assert not rounds.waits(3, LONG + WAIT_NS)
    rounds.ran(3)
    assert rounds.waits(0, 2 * LONG)
    assert not rounds.waits(3, 2 * LONG)


class Client:
    """Asks while another one's batch runs, so that this one is waited for."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._now = 0

    def left_out(self, comes: bool) -> int:
        """Batches that do not wait before one does, in vain unless the other one `comes`."""
        for count in range(2 * MOST_SKIPPED):
            self._now += LONG
            self._rounds.ran(1)
            if self._rounds.waits(1, self._now):
                assert not self._rounds.waits(2 if comes else 1, self._now + (1 if comes else WAIT_NS))
                return count
        raise AssertionError("never again")


def test_each_time_in_vain_leaves_out_twice_as_many_batches(rounds) -> None:
    client = Client(rounds)
    in_vain = [client.left_out(comes=False) for _ in range(9)]
    assert in_vain[:4] == [0, SKIPPED, 2 * SKIPPED, 4 * SKIPPED]
    assert in_vain[-2:] == [MOST_SKIPPED] * 2


def test_each_time_that_all_come_leaves_out_one_less_the_next_time(rounds) -> None:
    client = Client(rounds)
    for _ in range(3):
        client.left_out(comes=False)
    client.left_out(comes=True)
    assert [client.left_out(comes=True) for _ in range(3)] == [0] * 3
    client.left_out(comes=False)
    assert client.left_out(comes=True) == 8 * SKIPPED - 4


def test_no_luck_makes_it_less_than_the_least(rounds) -> None:
    client = Client(rounds)
    for _ in range(40):
        assert client.left_out(comes=True) == 0
    client.left_out(comes=False)
    assert client.left_out(comes=True) == SKIPPED


def test_a_wait_in_which_somebody_came_was_not_in_vain(rounds) -> None:
    rounds.ran(4)
    assert rounds.waits(2, 0)
    assert rounds.waits(3, 1)
    assert not rounds.waits(3, WAIT_NS)
    rounds.ran(3)
    assert rounds.waits(1, LONG)
