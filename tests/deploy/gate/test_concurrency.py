import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from despina.deploy.gate.concurrency import ConcurrencyLimit, Turn

Ask = Callable[[str], Turn]


def one_at_a_time(queue_seconds: float, scenario: Callable[[ConcurrencyLimit, Ask, list[str]], Any]) -> None:
    """A limit of one, and a list of who was told what."""

    async def run() -> None:
        limit, told = ConcurrencyLimit(1, queue_seconds), list[str]()
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context))

        def ask(name: str) -> Turn:
            turn = Turn(lambda: told.append(f"{name} in"), lambda: told.append(f"{name} out"))
            limit.ask(turn)
            return turn

        await scenario(limit, ask, told)
        assert not failed

    asyncio.run(run())


def test_the_first_to_come_is_the_first_to_work() -> None:
    async def scenario(limit: ConcurrencyLimit, ask: Ask, told: list[str]) -> None:
        turns = [ask(name) for name in "abc"]
        assert (told, limit.at_work, limit.waiting) == (["a in"], 1, 2)
        for turn in turns:
            limit.end(turn)
        assert (told, limit.at_work, limit.waiting) == (["a in", "b in", "c in"], 0, 0)

    one_at_a_time(30, scenario)


@pytest.mark.parametrize("withdrawn", [True, False])
def test_nobody_is_refused_who_waits_no_more(withdrawn: bool) -> None:
    async def scenario(limit: ConcurrencyLimit, ask: Ask, told: list[str]) -> None:
        first, second = ask("a"), ask("b")
        if withdrawn:
            limit.end(second)
        limit.end(first)
        await asyncio.sleep(0.1)
        assert told == (["a in"] if withdrawn else ["a in", "b in"])
        assert limit.at_work == (0 if withdrawn else 1)

    one_at_a_time(0.05, scenario)


def test_who_was_refused_is_not_admitted_later() -> None:
    async def scenario(limit: ConcurrencyLimit, ask: Ask, told: list[str]) -> None:
        first, second = ask("a"), ask("b")
        await asyncio.sleep(0.1)
        limit.end(second)
        assert (told, limit.at_work, limit.waiting) == (["a in", "b out"], 1, 0)
        limit.end(first)
        assert (told, limit.at_work) == (["a in", "b out"], 0)

    one_at_a_time(0.05, scenario)


def test_without_a_limit_everybody_gets_in() -> None:
    async def run() -> None:
        limit, told = ConcurrencyLimit(None, 0), list[int]()
        for number in range(100):
            limit.ask(Turn(lambda number=number: told.append(number), lambda: None))
        assert (len(told), limit.at_work) == (100, 100)

    asyncio.run(run())
