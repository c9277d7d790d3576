import asyncio
import errno
import gc
import weakref

import pytest
from tests.support.lifecycle import POLICY_ALL, Bench, put, put_ensemble, ready, settled, started

from despina.errors import DespinaError, Internal, InvalidArgument, NotFound, Unavailable
from despina.models.source import Source


async def test_load_and_unload_take_a_model_through_its_states(tmp_path):
    put(tmp_path, "m")
    bench = await started(tmp_path)
    models = bench.models
    assert await models.index(False) == [{"name": "m"}]
    with pytest.raises(NotFound, match="'m' is not found"):
        models.get("m", None)
    await models.load("m", {})
    assert models.get("m", None).version == 1
    model = models.get("m", 1)
    model.idle.clear()
    await models.unload("m", False)
    assert await models.index(False) == [{"name": "m", "version": "1", "state": "UNLOADING"}]
    assert not models.is_ready(strict=True)
    with pytest.raises(Unavailable, match="not at ready state"):
        models.get("m", 1)
    assert bench.closed == []
    model.idle.set()
    await settled(models)
    assert bench.closed == [("m", 1)]
    assert await models.index(False) == [{"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
    assert models.is_ready(strict=True)


async def test_a_load_while_the_old_one_drains_is_not_undone_by_its_end(tmp_path):
    put(tmp_path, "m")
    bench = await started(tmp_path)
    await bench.models.load("m", {})
    old = bench.models.get("m", 1)
    old.idle.clear()
    await bench.models.unload("m", False)
    await bench.models.load("m", {})
    old.idle.set()
    await settled(bench.models)
    assert bench.closed == [("m", 1)]
    assert bench.index_of(await bench.models.index(False), "m") == [("1", "READY", None)]
    assert bench.models.get("m", 1) is not old


async def test_a_version_is_held_until_it_has_answered_and_is_closed(tmp_path):
    put(tmp_path, "m")
    bench = await started(tmp_path)
    await bench.models.load("m", {})
    model = bench.models.get("m", 1)
    model.idle.clear()
    await bench.models.unload("m", False)
    assert bench.models.holding("m", 1) is model
    assert bench.models.held() == [model]
    model.idle.set()
    await settled(bench.models)
    assert bench.models.holding("m", 1) is None
    assert bench.models.held() == []


async def test_an_unloaded_model_is_freed(tmp_path):
    put(tmp_path, "m")
    bench = Bench(tmp_path, load_model=("m",))
    report = await bench.models.start()
    model = weakref.ref(bench.models.get("m", 1))
    await bench.models.unload("m", False)
    await settled(bench.models)
    gc.collect()
    assert model() is None
    assert report.succeeded


async def test_one_bad_version_takes_the_good_ones_of_the_same_load_with_it(tmp_path):
    put(tmp_path, "m", POLICY_ALL, versions=(1, 2, 3))
    bench = await started(tmp_path)
    bench.broken = {("m", 2)}
    with pytest.raises(InvalidArgument, match="version 2 is at UNAVAILABLE state"):
        await bench.models.load("m", {})
    assert bench.index_of(await bench.models.index(False), "m") == [
        ("1", "UNAVAILABLE", "unloaded"),
        ("2", "UNAVAILABLE", "Invalid argument: it is broken"),
        ("3", "UNAVAILABLE", "unloaded"),
    ]
    with pytest.raises(NotFound, match="has no available versions"):
        bench.models.get("m", None)


async def test_a_model_without_versions_fails_with_a_text_of_its_own(tmp_path):
    put(tmp_path, "m", "version_policy { specific { versions: [ 7 ] } }")
    bench = await started(tmp_path)
    with pytest.raises(InvalidArgument) as error:
        await bench.models.load("m", {})
    assert error.value.message == (
        "load failed for model 'm': at least one version must be available under the version policy of model 'm'\n"
    )
    assert await bench.models.index(False) == []
    assert not bench.models.is_ready(strict=True)


@pytest.mark.parametrize("mode", ["none", "poll"])
async def test_load_and_unload_need_explicit_mode(tmp_path, mode):
    models = (await started(tmp_path, mode)).models
    for request in (models.load("m", {}), models.unload("m", True)):
        with pytest.raises(Unavailable, match="not allowed if polling is enabled"):
            await request


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        (" ", InvalidArgument, "Model name cannot be empty. Please enter a valid name to deploy."),
        ("..", InvalidArgument, "invalid model name '..', model name must not contain path traversal characters"),
        ("a/b", InvalidArgument, "invalid model name 'a/b', model name must not contain path traversal characters"),
        ("ghost", Internal, "failed to load 'ghost', failed to poll from model repository"),
    ],
)
async def test_names_that_cannot_be_loaded(tmp_path, name, kind, text):
    models = (await started(tmp_path)).models
    with pytest.raises(Internal.__mro__[1]) as error:
        await models.load(name, {})
    assert (error.value.status, error.value.message) == (kind.status, text)
    await models.unload(name, True)


async def test_a_directory_that_may_not_be_read_is_a_failed_poll(tmp_path, monkeypatch, caplog):
    def candidate(self, name, override):
        raise PermissionError(errno.EACCES, "Permission denied", "m/1")

    monkeypatch.setattr(Source, "candidate", candidate)
    models = (await started(tmp_path)).models
    with pytest.raises(DespinaError, match="failed to load 'm', failed to poll from model repository"):
        await models.load("m", {})
    assert caplog.messages == ["Poll failed for model directory 'm': m/1: Permission denied"]


async def test_changes_of_one_model_wait_for_each_other_and_of_two_do_not(tmp_path):
    for name in ("slow", "quick"):
        put(tmp_path, name)
    bench = await started(tmp_path)
    go = bench.hold("slow")
    loading = asyncio.create_task(bench.models.load("slow", {}))
    await bench.attempted(1)
    unloading = asyncio.create_task(bench.models.unload("slow", False))
    await bench.models.load("quick", {})
    assert not loading.done()
    assert not unloading.done()
    go.set()
    await loading
    await unloading
    await settled(bench.models)
    assert ready(bench.models) == ["quick"]


async def test_a_step_is_not_unloaded_while_its_ensemble_is_brought_up(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    go = bench.hold("a")
    loading = asyncio.create_task(bench.models.load("e", {}))
    await bench.attempted(1)
    unloading = asyncio.create_task(bench.models.unload("a", False))
    await asyncio.sleep(0)
    go.set()
    await loading
    await unloading
    await settled(bench.models)
    assert ready(bench.models) == []


async def test_a_caller_that_goes_away_does_not_cancel_the_load(tmp_path):
    put(tmp_path, "m")
    bench = await started(tmp_path)
    go = bench.hold("m")
    loading = asyncio.create_task(bench.models.load("m", {}))
    await bench.attempted(1)
    loading.cancel()
    go.set()
    await settled(bench.models)
    assert bench.models.versions("m") == [1]
