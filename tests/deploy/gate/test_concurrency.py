import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from despina.deploy.gate.concurrency import ConcurrencyLimit, Turn

Ask = Callable[[str], Turn]


@asynccontextmanager
async def one_at_a_time(queue_seconds: float) -> AsyncIterator[tuple[ConcurrencyLimit, Ask, list[str]]]:
    """A limit of one, how to ask it, and a list of who was told what."""
    limit, told = ConcurrencyLimit(1, queue_seconds), list[str]()
    failed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context))

    def ask(name: str) -> Turn:
        turn = Turn(lambda: told.append(f"{name} in"), lambda: told.append(f"{name} out"))
        limit.ask(turn)
        return turn

    yield limit, ask, told
    assert not failed


async def test_the_first_to_come_is_the_first_to_work() -> None:
    async with one_at_a_time(30) as (limit, ask, told):
        turns = [ask(name) for name in "abc"]
        assert (told, limit.at_work, limit.waiting) == (["a in"], 1, 2)
        for turn in turns:
            limit.end(turn)
        assert (told, limit.at_work, limit.waiting) == (["a in", "b in", "c in"], 0, 0)


@pytest.mark.parametrize("withdrawn", [True, False])
async def test_nobody_is_refused_who_waits_no_more(withdrawn: bool) -> None:
    async with one_at_a_time(0.05) as (limit, ask, told):
        first, second = ask("a"), ask("b")
        if withdrawn:
            limit.end(second)
        limit.end(first)
        await asyncio.sleep(0.1)
        assert told == (["a in"] if withdrawn else ["a in", "b in"])
        assert limit.at_work == (0 if withdrawn else 1)


async def test_who_was_refused_is_not_admitted_later() -> None:
    async with one_at_a_time(0.05) as (limit, ask, told):
        first, second = ask("a"), ask("b")
        await asyncio.sleep(0.1)
        limit.end(second)
        assert (told, limit.at_work, limit.waiting) == (["a in", "b out"], 1, 0)
        limit.end(first)
        assert (told, limit.at_work) == (["a in", "b out"], 0)


async def test_without_a_limit_everybody_gets_in() -> None:
    limit, told = ConcurrencyLimit(None, 0), list[int]()
    for number in range(100):
        limit.ask(Turn(lambda number=number: told.append(number), lambda: None))
    assert (len(told), limit.at_work) == (100, 100)
