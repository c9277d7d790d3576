"""Tests may be coroutines: each runs on an event loop of its own, and ends within a minute."""

import asyncio
import inspect
import os
from collections.abc import Callable

import pytest

LONGEST_S = 60
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime is told before it is imported, here or in a new process


@pytest.fixture(autouse=True)
def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """For a module or folder that wants another event loop to say so."""
    return asyncio.new_event_loop


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}

    async def in_time() -> None:
        async with asyncio.timeout(LONGEST_S):
            await test(**arguments)

    with asyncio.Runner(loop_factory=pyfuncitem.funcargs["loop_factory"]) as runner:
        runner.run(in_time())
    return True
