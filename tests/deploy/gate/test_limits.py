import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from despina.deploy.gate.limits import Places

Ask = Callable[[str], Any]


def places(queue_seconds: float, scenario: Callable[[Places, Ask, list[str]], Any]) -> None:
    """One place, and a list of who was told what."""

    async def run() -> None:
        made, told = Places(1, queue_seconds), list[str]()
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context))

        def ask(name: str) -> Any:
            return made.ask(lambda: told.append(f"{name} in"), lambda: told.append(f"{name} out"))

        await scenario(made, ask, told)
        assert not failed

    asyncio.run(run())


def test_places_are_given_first_come_first_served() -> None:
    async def scenario(made: Places, ask: Ask, told: list[str]) -> None:
        for name in "abc":
            ask(name)
        assert (told, made.taken, made.waiting) == (["a in"], 1, 2)
        for _ in range(3):
            made.leave()
        assert (told, made.taken, made.waiting) == (["a in", "b in", "c in"], 0, 0)

    places(30, scenario)


@pytest.mark.parametrize("withdrawn", [True, False])
def test_nobody_is_refused_who_waits_no_more(withdrawn: bool) -> None:
    async def scenario(made: Places, ask: Ask, told: list[str]) -> None:
        ask("a")
        waiting = ask("b")
        if withdrawn:
            made.withdraw(waiting)
        made.leave()
        await asyncio.sleep(0.1)
        assert told == (["a in"] if withdrawn else ["a in", "b in"])

    places(0.05, scenario)


def test_who_was_refused_gets_no_place_later() -> None:
    async def scenario(made: Places, ask: Ask, told: list[str]) -> None:
        ask("a")
        ask("b")
        await asyncio.sleep(0.1)
        assert (told, made.waiting) == (["a in", "b out"], 0)
        made.leave()
        assert (told, made.taken) == (["a in", "b out"], 0)

    places(0.05, scenario)


def test_without_a_limit_everybody_gets_in() -> None:
    async def run() -> None:
        made, told = Places(None, 0), list[int]()
        for number in range(100):
            made.ask(lambda number=number: told.append(number), lambda: None)
        assert (len(told), made.taken) == (100, 100)

    asyncio.run(run())
