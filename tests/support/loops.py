"""The event loops of tests that are coroutines."""

import pytest
import uvloop

UVLOOP = ("asyncio", {"loop_factory": uvloop.new_event_loop})
"""That of production, as the value of a fixture `anyio_backend`."""

ON_BOTH_LOOPS = pytest.mark.parametrize("anyio_backend", [UVLOOP, "asyncio"], ids=["uvloop", "asyncio"])
"""A mark: that of production and the standard library's: their transports differ in small ways."""
