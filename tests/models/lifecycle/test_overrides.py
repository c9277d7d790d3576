"""A load that brings a configuration, or files, of its own."""

import json

import pytest
from tests.support.lifecycle import put, settled, started


async def test_a_configuration_override_lasts_until_the_model_is_unloaded(tmp_path):
    put(tmp_path, "m", "max_batch_size: 4")
    models = (await started(tmp_path)).models
    await models.load("m", {"config": json.dumps({"backend": "identity", "max_batch_size": 2})})
    await models.load("m", {})
    assert models.get("m", None).config.max_batch_size == 2
    await models.unload("m", False)
    await models.load("m", {})
    assert models.get("m", None).config.max_batch_size == 4


async def test_overridden_files_are_the_whole_model_until_the_next_plain_load(tmp_path):
    put(tmp_path, "m")
    bench = await started(tmp_path)
    await bench.models.load("m", {"config": '{"backend":"identity"}', "file:5/model.bin": b"x"})
    assert bench.models.versions("m") == [5]
    directory = bench.models._states["m"].serving.directory
    assert (directory / "5" / "model.bin").read_bytes() == b"x"
    await bench.models.load("m", {})
    await settled(bench.models)
    assert bench.models.versions("m") == [1]
    assert not directory.exists()


async def test_overridden_files_may_have_a_name_of_their_own(tmp_path):
    bench = await started(tmp_path)
    await bench.models.load("new", {"config": '{"backend":"identity"}', "file:1/model.bin": b"x"})
    assert bench.models.versions("new") == [1]
    assert await bench.models.index(False) == []
    directory = bench.models._states["new"].serving.directory
    await bench.models.unload("new", False)
    await settled(bench.models)
    assert not directory.exists()


@pytest.mark.parametrize(
    "parameters",
    [
        {"config": "{not json"},
        {"config": '{"backend":"identity","name":"other"}'},
        {"file:1/model.bin": b"x"},
        {"config": '{"backend":"identity"}', "file:../evil": b"x"},
    ],
)
async def test_an_override_that_cannot_be_read_leaves_the_old_one_serving(tmp_path, parameters):
    put(tmp_path, "m")
    models = (await started(tmp_path)).models
    await models.load("m", {})
    first = models.get("m", None)
    with pytest.raises(Exception, match="failed to load 'm', failed to poll from model repository"):
        await models.load("m", parameters)
    assert models.get("m", None) is first
