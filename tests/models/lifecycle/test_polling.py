import asyncio
import shutil

from tests.support.lifecycle import Bench, put, started, touch


async def test_the_loop_comes_round_while_many_models_go(tmp_path):
    for number in range(30):
        put(tmp_path, f"m{number}")
    bench = await started(tmp_path, "poll", repository_poll_secs=0)
    for number in range(30):
        shutil.rmtree(tmp_path / f"m{number}")
    bench.now = 10
    await bench.models.poll()
    bench.now = 20
    served = []
    polling = asyncio.create_task(bench.models.poll())
    while not polling.done():
        served.append(len(bench.models.ready_models()))
        await asyncio.sleep(0)
    assert served[0] == 30
    assert len(set(served)) > 20
    await bench.models.stop(5)


async def test_polling_follows_what_appears_changes_and_vanishes(tmp_path):
    directory = put(tmp_path, "m")
    bench = await started(tmp_path, "poll")
    models = bench.models
    first = models.get("m", None)
    bench.now = first_change = (directory / "config.pbtxt").stat().st_ctime + 10
    touch(directory / "1" / "model.bin", 10)
    await models.poll()
    assert models.get("m", None) is first  # may still be half written
    await models.poll()
    second = models.get("m", None)
    assert second is not first
    put(tmp_path, "n")
    bench.now = first_change + 1000
    await models.poll()
    assert models.versions("n") == [1]  # old enough at the first look
    directory.rename(tmp_path.parent / "elsewhere")
    await models.poll()
    assert models.versions("m") == [1]  # it may be on its way back
    await models.poll()
    assert models.versions("m") == []
    await models.poll()
    assert len(bench.attempts) == 3


async def test_polling_unloads_a_name_that_comes_up_twice_until_one_of_them_goes(tmp_path):
    first = put(tmp_path / "one", "m")
    (tmp_path / "two").mkdir()
    bench = await started(tmp_path, "poll", model_repository=(tmp_path / "one", tmp_path / "two"))
    put(tmp_path / "two", "m")
    bench.now = 1e12
    await bench.models.poll()
    await bench.models.poll()
    assert bench.models.versions("m") == []
    first.rename(tmp_path / "elsewhere")
    await bench.models.poll()
    assert bench.models.versions("m") == [1]


async def test_polling_tries_a_failed_model_again(tmp_path):
    put(tmp_path, "m")
    bench = Bench(tmp_path, "poll")
    bench.broken = {("m", 1)}
    await bench.models.start()
    bench.now = 1e12
    await bench.models.poll()
    bench.broken = set()
    await bench.models.poll()
    assert bench.models.versions("m") == [1]


async def test_a_repository_that_is_gone_is_a_line_in_the_log_and_comes_back(tmp_path, caplog):
    caplog.set_level("ERROR")
    repository = tmp_path / "repository"
    put(repository, "m")
    bench = Bench(repository, "poll", repository_poll_secs=0.01)
    bench.now = 1e12
    await bench.models.start()
    repository.rename(tmp_path / "elsewhere")
    while not caplog.records:
        await asyncio.sleep(0.01)
    (tmp_path / "elsewhere").rename(repository)
    put(repository, "n")
    while not bench.models.versions("n"):
        await asyncio.sleep(0.01)
    assert bench.models.versions("m") == [1]
    await bench.models.stop(5)
    assert {record.exc_info for record in caplog.records} == {None}
    assert caplog.messages[0].startswith("failed to poll the model repository: ")


async def test_the_poll_runs_by_itself_until_stopped(tmp_path):
    bench = Bench(tmp_path, "poll", repository_poll_secs=0.01)
    bench.now = 1e12
    await bench.models.start()
    put(tmp_path, "m")
    while not bench.models.versions("m"):
        await asyncio.sleep(0.01)
    assert await bench.models.stop(5)
    assert bench.closed == [("m", 1)]
