"""Room for arriving bodies: the rules, on a clock that is turned by hand."""

import asyncio
import random

import pytest
from tests.support.clocks import MS, VirtualClock

from despina.http.body_budget import PATIENCE_NS, TURNS, BodyBudget, Claim, body_budget
from despina.settings import Settings

PATIENCE_MS = PATIENCE_NS / MS


class Client:
    """Claims room for one body, and gives it back when it is revoked."""

    def __init__(self, budget: BodyBudget, size: int) -> None:
        self.arrived = 0
        self.granted = 0
        self.revoked = 0
        self._budget = budget
        self.claim: Claim = budget.claim(self, size)

    def room_granted(self) -> None:
        self.granted += 1

    def room_revoked(self) -> None:
        self.revoked += 1
        self.done()

    def done(self) -> None:
        self._budget.give_back(self.claim)


def test_what_fits_does_not_wait() -> None:
    budget = BodyBudget(10, VirtualClock())
    first, second = Client(budget, 4), Client(budget, 6)
    assert not first.claim.waiting
    assert not second.claim.waiting
    assert budget.held == 10
    first.done()
    second.done()
    assert budget.held == 0


def test_turns_are_given_in_order_and_nobody_overtakes() -> None:
    budget = BodyBudget(10, VirtualClock())
    holder = Client(budget, 8)
    large, small, last = Client(budget, 9), Client(budget, 1), Client(budget, 1)
    assert [client.granted for client in (large, small, last)] == [0, 0, 0]
    holder.done()
    assert [client.granted for client in (large, small, last)] == [1, 1, 0]
    large.done()
    assert last.granted == 1


def test_who_leaves_the_line_holds_up_nobody() -> None:
    budget = BodyBudget(10, VirtualClock())
    holder = Client(budget, 8)
    large, small = Client(budget, 9), Client(budget, 2)
    large.done()
    assert small.granted == 1
    assert budget.held == 10
    holder.done()
    small.done()
    assert (budget.held, budget.waiting, large.granted) == (0, 0, 0)


def test_a_body_larger_than_the_budget_goes_alone() -> None:
    budget = BodyBudget(10, VirtualClock())
    holder = Client(budget, 1)
    huge, small = Client(budget, 100), Client(budget, 1)
    assert (huge.granted, small.granted) == (0, 0)
    holder.done()
    assert (huge.granted, small.granted) == (1, 0)
    huge.done()
    assert small.granted == 1


def test_of_two_bodies_that_wait_for_each_other_the_older_one_goes_beyond_the_limit() -> None:
    budget = BodyBudget(10, VirtualClock())
    older, younger = Client(budget, 5), Client(budget, 5)
    budget.grow(younger.claim, 6)
    assert younger.claim.waiting
    for size in range(6, 20):
        budget.grow(older.claim, size)
        assert not older.claim.waiting
    assert (younger.granted, budget.held) == (0, 24)
    older.done()
    assert (younger.granted, budget.held) == (1, 6)


def test_a_body_that_grows_is_served_before_those_that_hold_nothing() -> None:
    budget = BodyBudget(10, VirtualClock())
    growing, other = Client(budget, 4), Client(budget, 6)
    newcomer = Client(budget, 4)
    budget.grow(growing.claim, 8)
    assert growing.claim.waiting
    other.done()
    assert (growing.granted, newcomer.granted) == (1, 0)
    growing.done()
    assert newcomer.granted == 1


@pytest.mark.parametrize(
    ("arrives", "somebody_waits", "revoked"),
    [(0, True, 1), (1000 // TURNS - 1, True, 1), (1000 // TURNS, True, 0), (0, False, 0)],
)
def test_a_sender_without_pace_loses_its_room_when_somebody_waits(
    arrives: int, somebody_waits: bool, revoked: int
) -> None:
    clock = VirtualClock()
    budget = BodyBudget(1000, clock)
    slow = Client(budget, 1000)
    clock.advance(100 * PATIENCE_MS)
    waiting = Client(budget, 1000) if somebody_waits else None
    clock.advance(0.9 * PATIENCE_MS)
    slow.arrived += arrives
    assert slow.revoked == 0
    clock.advance(0.2 * PATIENCE_MS)
    assert slow.revoked == revoked
    assert waiting is None or waiting.granted == revoked
    clock.advance((0 if revoked or waiting is None else 1) * PATIENCE_MS)
    assert slow.revoked == int(somebody_waits)


def test_no_more_rooms_are_revoked_than_those_who_wait_need() -> None:
    clock = VirtualClock()
    budget = BodyBudget(10, clock)
    first, second = Client(budget, 5), Client(budget, 5)
    waiting = Client(budget, 5)
    clock.advance(3 * PATIENCE_MS)
    assert (first.revoked, second.revoked, waiting.granted) == (1, 0, 1)


def test_whoever_got_room_late_has_the_full_time() -> None:
    clock = VirtualClock()
    budget = BodyBudget(10, clock)
    first = Client(budget, 10)
    second, third = Client(budget, 10), Client(budget, 10)
    clock.advance(0.9 * PATIENCE_MS)
    first.done()
    clock.advance(0.9 * PATIENCE_MS)
    assert second.revoked == 0
    clock.advance(0.2 * PATIENCE_MS)
    assert (second.revoked, third.granted) == (1, 1)


def test_a_watch_that_nobody_needs_ends() -> None:
    clock = VirtualClock()
    budget = BodyBudget(10, clock)
    holder, waiting = Client(budget, 10), Client(budget, 10)
    waiting.done()
    clock.advance(2 * PATIENCE_MS)
    assert clock.timers == []
    late = Client(budget, 1)
    clock.advance(0.5 * PATIENCE_MS)
    holder.done()
    assert late.granted == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_budget_holds_and_everybody_gets_a_turn(seed: int) -> None:
    dice = random.Random(seed)
    budget = BodyBudget(100, VirtualClock())
    clients: list[Client] = []
    for _ in range(2000):
        moving = [client for client in clients if not client.claim.waiting]
        chance = dice.random()
        if chance < 0.5:
            clients.append(Client(budget, dice.randint(1, 130)))
        elif chance < 0.6 and moving:
            client = dice.choice(moving)
            budget.grow(client.claim, client.claim.held + dice.randint(1, 30))
        elif clients:
            # Mostly bodies become whole; now and then somebody hangs up.
            client = dice.choice(moving if dice.random() < 0.8 else clients)
            clients.remove(client)
            client.done()
        held = sorted(client.claim.held for client in clients)
        assert budget.held == sum(held)
        assert not held or sum(held) - held[-1] <= 100 or sum(held) <= 100
        assert not clients or any(not client.claim.waiting for client in clients)
    while clients:
        clients.remove(client := next(client for client in clients if not client.claim.waiting))
        client.done()
    assert (budget.held, budget.waiting) == (0, 0)


@pytest.mark.parametrize(("workers", "limit"), [(1, 900), (2, 300), (8, 100)])
def test_processes_share_the_budget(workers: int, limit: int) -> None:
    async def made() -> BodyBudget | None:
        return body_budget(Settings(http_workers=workers, http_max_arriving_bytes=900))

    budget = asyncio.run(made())
    assert budget is not None
    assert budget.limit == limit


@pytest.mark.parametrize(("setting", "limited"), [(0, False), (None, True)])
def test_there_is_a_budget_unless_it_is_switched_off(setting: int | None, limited: bool) -> None:
    async def made() -> BodyBudget | None:
        return body_budget(Settings(http_max_arriving_bytes=setting))

    assert (asyncio.run(made()) is not None) == limited
