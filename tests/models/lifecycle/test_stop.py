import asyncio

import pytest
from tests.support.lifecycle import put, put_ensemble, started

from despina.errors import Unavailable


async def test_stopping_answers_what_was_accepted_ensembles_first(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path, load_model=("e",))
    ensemble = bench.models.get("e", None)
    ensemble.idle.clear()
    stopping = asyncio.create_task(bench.models.stop(10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not bench.models.is_ready(strict=False)
    assert bench.models.get("a", None)  # the ensemble still runs it
    with pytest.raises(Unavailable, match="Server not ready"):
        await bench.models.load("a", {})
    ensemble.idle.set()
    assert await stopping
    assert bench.closed == [("e", 1), ("a", 1)]


async def test_stopping_gives_up_after_its_time(tmp_path):
    put(tmp_path, "m")
    bench = await started(tmp_path, load_model=("m",))
    bench.models.get("m", None).idle.clear()
    assert not await bench.models.stop(0.01)


async def test_stopping_begins_no_load_that_still_waits_for_a_thread(tmp_path):
    put(tmp_path, "slow")
    put(tmp_path, "next")
    bench = await started(tmp_path, model_load_thread_count=1)
    go = bench.hold("slow")
    slow = asyncio.create_task(bench.models.load("slow", {}))
    await bench.attempted(1)
    waiting = asyncio.create_task(bench.models.load("next", {}))
    while bench.index_of(await bench.models.index(False), "next") != [("1", "LOADING", None)]:
        await asyncio.sleep(0.001)
    assert not await bench.models.stop(0)
    go.set()
    await asyncio.gather(slow, waiting, return_exceptions=True)
    assert bench.attempts == [("slow", 1)]
