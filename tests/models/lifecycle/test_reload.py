import asyncio

import pytest
from tests.support.lifecycle import POLICY_ALL, put, settled, started, touch

from despina.errors import InvalidArgument


async def test_loading_an_unchanged_model_does_nothing_and_a_changed_one_is_swapped(tmp_path):
    directory = put(tmp_path, "m")
    bench = await started(tmp_path)
    await bench.models.load("m", {})
    first = bench.models.get("m", 1)
    await bench.models.load("m", {})
    assert bench.models.get("m", 1) is first
    touch(directory / "1" / "model.bin", 10)
    await bench.models.load("m", {})
    assert bench.models.get("m", 1) is not first
    await settled(bench.models)
    assert bench.closed == [("m", 1)]


async def test_the_old_version_serves_until_the_new_one_is_ready(tmp_path):
    directory = put(tmp_path, "m")
    bench = await started(tmp_path)
    await bench.models.load("m", {})
    first = bench.models.get("m", None)
    go = bench.hold("m")
    touch(directory / "1" / "model.bin", 10)
    loading = asyncio.create_task(bench.models.load("m", {}))
    await bench.attempted(2)
    assert bench.models.get("m", None) is first
    assert bench.models.is_ready(strict=True)
    go.set()
    await loading
    assert bench.models.get("m", None) is not first


async def test_a_failed_reload_changes_nothing_and_is_tried_again(tmp_path):
    directory = put(tmp_path, "m")
    bench = await started(tmp_path)
    await bench.models.load("m", {})
    first = bench.models.get("m", None)
    bench.broken = {("m", 1)}
    touch(directory / "1" / "model.bin", 10)
    for _ in range(2):
        with pytest.raises(InvalidArgument) as error:
            await bench.models.load("m", {})
        assert error.value.message == (
            "load failed for model 'm': version 1 is at UNAVAILABLE state: Invalid argument: it is broken;\n"
        )
    assert bench.models.get("m", None) is first
    assert bench.index_of(await bench.models.index(False), "m") == [("1", "READY", None)]
    assert bench.closed == []


async def test_a_change_of_the_version_policy_keeps_the_versions_that_stay(tmp_path):
    directory = put(tmp_path, "m", POLICY_ALL, versions=(1, 2))
    bench = await started(tmp_path)
    await bench.models.load("m", {})
    second = bench.models.get("m", 2)
    put(tmp_path, "m", "version_policy { specific { versions: [ 2, 3 ] } }", versions=(3,))
    touch(directory / "config.pbtxt", 10)
    await bench.models.load("m", {})
    await settled(bench.models)
    assert bench.models.get("m", 2) is second
    assert second.config.version_policy.WhichOneof("policy_choice") == "all"
    assert list(bench.models.get("m", 3).config.version_policy.specific.versions) == [2, 3]
    assert bench.models.versions("m") == [2, 3]
    assert bench.closed == [("m", 1)]
    assert bench.attempts == [("m", 1), ("m", 2), ("m", 3)]
