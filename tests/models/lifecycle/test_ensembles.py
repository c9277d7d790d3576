"""Ensembles load with their steps, or not."""

import asyncio

import pytest
from google.protobuf.json_format import MessageToJson
from tests.support.lifecycle import Bench, put, put_ensemble, ready, settled, started, touch

from despina.errors import InvalidArgument, NotFound
from despina.models.failures import NotInRepository
from despina.models.source import Source
from despina.settings import Settings


async def test_an_ensemble_brings_its_steps_and_takes_those_nobody_else_needs(tmp_path):
    for name in ("a", "b", "c"):
        put(tmp_path, name)
    put_ensemble(tmp_path, "first", "a", "b", "c")
    put_ensemble(tmp_path, "second", "c")
    bench = await started(tmp_path)
    await bench.models.load("b", {})
    await bench.models.load("first", {})
    await bench.models.load("second", {})
    assert ready(bench.models) == ["a", "b", "c", "first", "second"]
    assert len(bench.attempts) == 5
    await bench.models.unload("first", True)
    assert ready(bench.models) == ["b", "c", "second"]
    await bench.models.unload("second", False)
    assert ready(bench.models) == ["b", "c"]


async def test_steps_serve_nobody_but_the_ensemble_until_it_has_answered(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    await bench.models.load("e", {})
    ensemble = bench.models.get("e", None)
    step = bench.models.get("a", None)
    ensemble.idle.clear()
    await bench.models.unload("e", True)
    await asyncio.sleep(0)
    rows = await bench.models.index(ready_only=False)
    assert [bench.index_of(rows, name) for name in ("a", "e")] == [[("1", "UNLOADING", None)]] * 2
    assert bench.models.for_ensembles("a", None) is bench.models.for_ensembles("a", 1) is step
    with pytest.raises(NotFound):
        bench.models.get("a", None)
    ensemble.idle.set()
    await settled(bench.models)
    with pytest.raises(NotFound):
        bench.models.for_ensembles("a", None)
    assert bench.closed == [("e", 1), ("a", 1)]


async def test_an_ensemble_that_was_unloaded_has_no_steps_to_take_along(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    await bench.models.load("e", {})
    await bench.models.unload("e", False)
    await bench.models.unload("e", True)
    await settled(bench.models)
    assert ready(bench.models) == ["a"]
    await bench.models.load("e", {})
    await bench.models.unload("e", True)
    await settled(bench.models)
    assert ready(bench.models) == []


async def test_a_step_that_is_loaded_again_meanwhile_takes_over(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "inner", "a")
    put_ensemble(tmp_path, "outer", "inner")
    bench = await started(tmp_path)
    await bench.models.load("outer", {})
    ensemble = bench.models.get("outer", None)
    ensemble.idle.clear()
    await bench.models.unload("outer", True)
    await bench.models.load("a", {})
    assert bench.models.for_ensembles("a", None) is bench.models.get("a", None)
    ensemble.idle.set()
    await settled(bench.models)
    assert ready(bench.models) == ["a"]
    assert bench.closed == [("outer", 1), ("inner", 1), ("a", 1)]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ({"e": ("e",)}, "circular dependency between ensembles: e -> ... -> e -> e"),
        ({"e": ("f",), "f": ("e",)}, "circular dependency between ensembles: e -> ... -> f -> e"),
        ({"e": ("ghost", "a")}, "ensemble e contains models that are not available or ambiguous: ghost"),
        (
            {"e": ("bad",)},
            "ensemble 'e' depends on 'bad' which has no loaded version. Model 'bad' loading failed with error: "
            "version 1 is at UNAVAILABLE state: Invalid argument: it is broken;",
        ),
        (
            {"e": ("f",), "f": ("bad",)},
            "ensemble 'e' depends on 'f' which is not valid. Model 'f' failed with error: ensemble 'f' depends on "
            "'bad' which has no loaded version. Model 'bad' loading failed with error: version 1 is at UNAVAILABLE "
            "state: Invalid argument: it is broken;",
        ),
    ],
)
async def test_an_ensemble_that_cannot_run_does_not_load(tmp_path, steps, text):
    put(tmp_path, "a")
    put(tmp_path, "bad")
    for name, used in steps.items():
        put_ensemble(tmp_path, name, *used)
    bench = await started(tmp_path)
    bench.broken = {("bad", 1)}
    with pytest.raises(InvalidArgument) as error:
        await asyncio.wait_for(bench.models.load("e", {}), 10)
    assert error.value.message == f"load failed for model 'e': {text}\n"
    assert bench.models.versions("e") == []
    assert [row for row in await bench.models.index(False) if row["name"] == "e"] == [{"name": "e"}]


async def test_an_ensemble_without_its_steps_does_not_make_the_server_unready(tmp_path):
    put_ensemble(tmp_path, "e", "ghost")
    models = Bench(tmp_path, "none").models
    report = await models.start()
    assert [name for name, _ in report.failures] == ["e"]
    assert models.is_ready(strict=True)
    with pytest.raises(NotFound, match="Request for unknown model: 'e' is not found"):
        models.get("e", None)


async def test_an_ensemble_without_versions_brings_its_steps_before_it_fails(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    (tmp_path / "e" / "1").rmdir()
    models = (await started(tmp_path)).models
    with pytest.raises(InvalidArgument, match="at least one version must be available"):
        await models.load("e", {})
    assert models.versions("a") == [1]
    assert not models.is_ready(strict=True)


async def test_loading_an_ensemble_again_loads_what_changed_of_its_steps(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "inner", "a")
    put_ensemble(tmp_path, "outer", "inner")
    bench = await started(tmp_path)
    await bench.models.load("outer", {})
    await bench.models.load("outer", {})
    assert len(bench.attempts) == 3
    touch(tmp_path / "a" / "1" / "model.onnx", 1)
    await bench.models.load("outer", {})
    assert bench.attempts[3:] == [("a", 1), ("inner", 1), ("outer", 1)]
    bench.broken = {("a", 1)}
    touch(tmp_path / "a" / "1" / "model.onnx", 2)
    await bench.models.load("outer", {})  # its step serves as before
    (tmp_path / "a" / "config.pbtxt").write_text("?")
    for name in ("outer", "inner", "a"):
        with pytest.raises(NotInRepository, match=f"failed to load '{name}', failed to poll from model"):
            await bench.models.load(name, {})
    assert ready(bench.models) == ["a", "inner", "outer"]


async def test_an_ensemble_that_no_longer_fits_what_changed_of_its_steps_is_said_to_fail(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "inner", "a")
    put_ensemble(tmp_path, "outer", "inner")
    bench = await started(tmp_path)
    await bench.models.load("outer", {})
    bench.fits = lambda config_of: not config_of("a", None).max_batch_size
    put(tmp_path, "a", "max_batch_size: 1")
    touch(tmp_path / "a" / "config.pbtxt", 1)
    text = "ensemble 'outer' depends on 'inner' which is not valid. Model 'inner' failed with error: it does not fit"
    with pytest.raises(InvalidArgument, match=text):
        await bench.models.load("outer", {})
    assert ready(bench.models) == ["a"]


async def test_an_ensemble_that_failed_to_change_its_steps_goes_with_those_it_has(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "bad")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    bench.broken = {("bad", 1)}
    await bench.models.load("e", {})
    put_ensemble(tmp_path, "e", "bad")
    touch(tmp_path / "e" / "config.pbtxt", 1)
    with pytest.raises(InvalidArgument):
        await bench.models.load("e", {})
    assert bench.models.versions("e") == [1]
    await bench.models.unload("a", False)
    assert bench.models.versions("e") == []


async def test_an_ensemble_loads_over_a_step_whose_change_failed_but_that_serves_as_before(tmp_path):
    directory = put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    await bench.models.load("a", {})
    bench.broken = {("a", 1)}
    touch(directory / "1" / "model.bin", 10)
    await bench.models.load("e", {})
    assert ready(bench.models) == ["a", "e"]
    assert bench.attempts.count(("a", 1)) == 2


async def test_an_ensemble_is_made_anew_when_a_step_of_it_was_replaced_or_could_not_be(tmp_path):
    directory = put(tmp_path, "a")
    put(tmp_path, "b")
    for name, step in (("inner", "a"), ("outer", "inner"), ("other", "b")):
        put_ensemble(tmp_path, name, step)
    bench = await started(tmp_path)
    for name in ("outer", "other"):
        await bench.models.load(name, {})
    made = {name: bench.models.get(name, None) for name in ("inner", "outer", "other")}
    await bench.models.load("a", {})
    assert all(bench.models.get(name, None) is model for name, model in made.items())
    touch(directory / "1" / "model.bin", 1)
    await bench.models.load("a", {})
    assert [name for name, model in made.items() if bench.models.get(name, None) is model] == ["other"]
    made = {name: bench.models.get(name, None) for name in made}
    bench.broken = {("a", 1)}
    touch(directory / "1" / "model.bin", 2)
    with pytest.raises(InvalidArgument):
        await bench.models.load("a", {})
    assert [name for name, model in made.items() if bench.models.get(name, None) is model] == ["other"]
    assert ready(bench.models) == ["a", "b", "inner", "other", "outer"]


async def test_an_ensemble_that_cannot_be_made_anew_serves_as_before(tmp_path):
    directory = put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    await bench.models.load("e", {})
    before = bench.models.get("e", None)
    bench.broken = {("e", 1)}
    touch(directory / "1" / "model.bin", 1)
    await bench.models.load("a", {})
    assert bench.models.get("e", None) is before


async def test_an_ensemble_that_is_made_anew_keeps_the_files_that_had_come_for_it(tmp_path):
    directory = put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    models = (await started(tmp_path)).models
    config = MessageToJson(Source(Settings(model_repository=(tmp_path,))).candidate("e").config)
    await models.load("e", {"config": config, "file:7/notes.txt": b"x"})
    files = models._states["e"].serving.directory
    touch(directory / "1" / "model.bin", 1)
    await models.load("a", {})
    await settled(models)
    assert files.exists()
    await models.unload("e", False)
    await settled(models)
    assert not files.exists()
