"""A server in this process, with models that are loaded."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.serving import REPOSITORY

from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings

LOADED = ("add_sub_int32", "multi_all", "scalar_out")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """LOADED are served, other models can be loaded."""
    settings = Settings(
        id="ours",
        model_repository=(REPOSITORY,),
        model_control_mode="explicit",
        load_model=LOADED,
        allow_metrics=False,
        allow_client_shm=True,
        trace_config={"triton": {"file": (str(tmp_path / "traces"),)}},
    )
    server = Server(settings, LoopClock(asyncio.get_running_loop()))
    report = await server.models.start()
    assert report.succeeded
    server.is_live = True
    yield server
    await server.models.stop(5)
    server.trace.close()
