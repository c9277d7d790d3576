import pytest

from despina.scheduling.turns import Turns

MS = 1_000_000


class Owner:
    def __init__(self, clock) -> None:
        self.clock = clock
        self.turns = Turns(clock, self._turn)
        self.began_ms: list[float] = []
        self._start_ns = clock.now_ns()

    def _turn(self) -> None:
        self.turns.asked = False
        self.began_ms.append((self.clock.now_ns() - self._start_ns) / MS)

    def ask_at(self, *times_ms: float) -> None:
        self.turns.ask_at(*(self._start_ns + int(ms * MS) if ms else 0 for ms in times_ms))


@pytest.fixture
def owner(clock) -> Owner:
    return Owner(clock)


def test_who_asks_in_the_same_moment_shares_a_turn(owner: Owner) -> None:
    owner.turns.ask()
    owner.turns.ask()
    assert owner.began_ms == []
    owner.clock.settle()
    assert owner.began_ms == [0]
    owner.turns.ask()
    owner.clock.settle()
    assert owner.began_ms == [0, 0]


def test_the_earliest_of_several_times_counts_and_0_is_none(owner: Owner) -> None:
    owner.ask_at(0, 30, 20)
    owner.clock.advance(100)
    assert owner.began_ms == [20]


def test_without_a_time_there_is_no_timer(owner: Owner) -> None:
    owner.ask_at()
    owner.ask_at(0, 0)
    assert owner.clock.timers == []


def test_an_earlier_time_takes_the_place_of_a_later_one(owner: Owner) -> None:
    owner.ask_at(30)
    owner.ask_at(10)
    owner.clock.advance(100)
    assert owner.began_ms == [10]


def test_a_timer_that_is_early_enough_is_left_alone(owner: Owner) -> None:
    owner.ask_at(10)
    owner.ask_at(30)
    owner.ask_at(0)
    owner.clock.advance(100)
    assert owner.began_ms == [10]
    assert len(owner.clock.timers) == 0


def test_closed_it_leaves_no_timer(owner: Owner) -> None:
    owner.ask_at(10)
    owner.turns.close()
    assert [timer for timer in owner.clock.timers if not timer.cancelled] == []
