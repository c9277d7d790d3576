"""Ensembles that go with a step of theirs, and come back with it."""

import shutil

import pytest
from google.protobuf.json_format import MessageToJson
from tests.support.lifecycle import put, put_ensemble, ready, settled, started, touch

from despina.errors import InvalidArgument
from despina.models.source import Source
from despina.settings import Settings


async def test_what_was_unloaded_does_not_come_back_with_an_ensemble_that_ran_it(tmp_path):
    for name in ("a", "b", "c"):
        put(tmp_path, name)
    put_ensemble(tmp_path, "inner", "a", "b")
    put_ensemble(tmp_path, "outer", "inner", "c")
    models = (await started(tmp_path)).models
    await models.load("outer", {})
    await models.unload("a", False)
    for name in ("b", "c"):  # steps of the ensembles that wait for it
        touch(tmp_path / name / "config.pbtxt", 1)
        await models.load(name, {})
        assert ready(models) == ["b", "c"]
    await models.load("a", {})
    assert ready(models) == ["a", "b", "c", "inner", "outer"]


async def test_a_step_that_failed_is_not_tried_again_with_another_step(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b")
    put_ensemble(tmp_path, "e", "a", "b")
    bench = await started(tmp_path)
    bench.broken = {("a", 1)}
    with pytest.raises(InvalidArgument):
        await bench.models.load("e", {})
    bench.attempts.clear()
    touch(tmp_path / "b" / "1" / "model.onnx", 1)
    await bench.models.load("b", {})
    assert bench.attempts == [("b", 1)]
    bench.broken.clear()
    await bench.models.load("a", {})
    assert ready(bench.models) == ["a", "b", "e"]


async def test_an_ensemble_that_comes_back_takes_its_other_steps_as_they_are(tmp_path):
    for name in ("a", "b"):
        put(tmp_path, name)
    put_ensemble(tmp_path, "e", "a", "b")
    models = (await started(tmp_path)).models
    await models.load("e", {})
    await models.load("a", {"config": '{"backend":"identity"}', "file:2/model.bin": b"x"})
    await models.unload("b", False)
    await models.load("b", {})
    assert [(m.name, m.version) for m in models.ready_models()] == [("a", 2), ("b", 1), ("e", 1)]
    await models.stop(5)


async def test_an_ensemble_comes_back_as_it_was(tmp_path):
    for name in ("a", "b"):
        put(tmp_path, name)
    put_ensemble(tmp_path, "e", "a", "b")
    models = (await started(tmp_path)).models
    only_a = Source(Settings(model_repository=(tmp_path,))).candidate("e").config
    del only_a.ensemble_scheduling.step[1:]
    del only_a.output[1:]
    await models.load("e", {"config": MessageToJson(only_a)})
    await models.unload("a", False)
    put_ensemble(tmp_path, "e", "b")
    await models.load("a", {})
    assert ready(models) == ["a", "e"]
    only_a.ensemble_scheduling.step[0].model_name = "nope"
    with pytest.raises(InvalidArgument, match="not available or ambiguous: nope"):
        await models.load("e", {"config": MessageToJson(only_a)})
    await models.unload("a", False)
    await models.load("a", {})
    assert ready(models) == ["a", "e"]
    await models.unload("a", False)
    shutil.rmtree(tmp_path / "e")
    await models.load("a", {})
    assert ready(models) == ["a"]


async def test_an_ensemble_comes_back_with_the_files_that_had_come_for_it(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "e", "a")
    bench = await started(tmp_path)
    models = bench.models
    config = MessageToJson(Source(Settings(model_repository=(tmp_path,))).candidate("e").config)
    directories = []
    for load_again in (False, True):
        await models.load("e", {"config": config, "file:7/notes.txt": b"x"})
        directories.append(models._states["e"].serving.directory)
        await models.unload("a", False)
        await settled(models)
        await models.load("a", {})
        assert [(m.name, m.version) for m in models.ready_models()] == [("a", 1), ("e", 7)]
        await models.unload("a", False)
        assert directories[-1].exists()
        await (models.load("e", {}) if load_again else models.unload("e", False))
        await settled(models)
        assert not directories[-1].exists()
    assert [(m.name, m.version) for m in models.ready_models()] == [("a", 1), ("e", 1)]
    await models.load("e", {"config": config, "file:7/notes.txt": b"x"})
    directory = models._states["e"].serving.directory
    await models.unload("a", False)
    assert await models.stop(5)
    assert not directory.exists()


async def test_an_ensemble_goes_and_comes_back_with_its_step(tmp_path):
    put(tmp_path, "a")
    put_ensemble(tmp_path, "inner", "a")
    put_ensemble(tmp_path, "outer", "inner")
    models = (await started(tmp_path)).models
    await models.load("outer", {})
    await models.unload("a", False)
    assert ready(models) == []
    await models.load("a", {})
    assert ready(models) == ["a", "inner", "outer"]
