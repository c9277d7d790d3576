"""The real thing: models whose instances get processes, on a real event loop."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from threading import Semaphore, get_ident
from time import time_ns

import numpy as np
import pytest

from despina.errors import Unavailable
from despina.models.batch_layout import BatchLayout
from despina.models.instance_processes import MAX_FILE_BYTES, process_offer, spare_cores
from despina.models.loader import LoadedVersion, load_version
from despina.models.model import Model
from despina.models.schedulers import SchedulingOptions
from despina.models.source import Source
from despina.scheduling.clock import LoopClock
from despina.scheduling.ensemble_step import StepRequest
from despina.scheduling.own_process import OwnProcess
from despina.scheduling.rate_limiter import RateLimiter
from despina.scheduling.shape_buckets import ShapeBucket
from despina.settings import Settings
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.tracing.settings import TraceSettings
from despina_backends.base import Batch, Device, Execution

CONFIG = """backend: "identity" max_batch_size: 8 dynamic_batching {}
input { name: "IN" data_type: TYPE_FP32 dims: 2 } output { name: "OUT" data_type: TYPE_FP32 dims: 2 }
instance_group { kind: KIND_CPU count: 1 }
parameters { key: "execute_delay_us" value { string_value: "300" } }
"""


def load(repository: Path, config: str = CONFIG) -> LoadedVersion:
    version = repository / "m" / "1"
    version.mkdir(parents=True)
    (version / "weights").write_bytes(b"1")
    (repository / "m" / "config.pbtxt").write_text(config)
    settings = Settings(model_repository=(repository,))
    return load_version(Source(settings).candidate("m"), 1, settings)


class Load:
    """Keeps so many requests under way, each with a value of its own, and checks their answers."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._next = 0
        self.answered = 0

    async def run(self, requests: int, connections: int = 8) -> None:
        self._left = requests
        await asyncio.gather(*(self._connection() for _ in range(connections)))

    async def _connection(self) -> None:
        while self._left > 0:
            self._left -= 1
            self._next += 1
            value = float(self._next)
            done = asyncio.get_running_loop().create_future()
            row = np.full((1, 2), value, np.float32)
            self._model.submit_step(StepRequest({"IN": row}, ("OUT",)), done.set_result)
            pending = await asyncio.wait_for(done, 10)
            assert pending.error is None
            assert pending.results["OUT"].tolist() == [[value, value]]
            self.answered += 1


def make_model(loaded: LoadedVersion, **options: object) -> Model:
    clock = LoopClock(asyncio.get_running_loop())
    scheduling = SchedulingOptions(**{"processes": Semaphore(1), **options})
    return Model(loaded, clock, scheduling, ModelStatistics(), TraceSettings({}).settings_for("m"))


def test_a_process_leaves_a_core_to_the_server_and_divides_the_others_as_configured(tmp_path):
    loaded = load(tmp_path)
    undecided = replace(loaded, load_options=replace(loaded.load_options, cpu_instances_asked=False))
    offer = process_offer(undecided, loaded.instances[0], SchedulingOptions(processes=Semaphore(1)))
    options = offer.recipe.options
    assert (options.spare_cores, options.cpu_instances_asked) == (1, True)
    loaded.close()


@pytest.mark.parametrize(
    ("cores", "http_workers", "spare"), [(1, 1, 0), (2, 1, 1), (8, 1, 7), (2, 2, 0), (4, 2, 1), (4, 8, 0)]
)
def test_processes_leave_cores_to_the_loop_and_to_front_ends(
    monkeypatch: pytest.MonkeyPatch, cores: int, http_workers: int, spare: int
) -> None:
    monkeypatch.setattr("despina.models.instance_processes.usable_cores", lambda: cores)
    assert spare_cores(http_workers) == spare


@pytest.mark.parametrize(("cores", "asked", "threads"), [(2, [(2, 1)], 1), (0, [], 2)])
async def test_short_batches_run_on_the_loop_if_the_cores_allow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    asked: list[tuple[int, int]],
    threads: int,
) -> None:
    questions: list[tuple[int, int]] = []
    ran_on: list[int] = []

    def limit_ns(cores: int, instances: int) -> int:
        questions.append((cores, instances))
        return 1_000_000_000

    monkeypatch.setattr("despina.models.model.inline_limit_ns", limit_ns)
    loaded = load(tmp_path)
    instance = loaded.instances[0].instance
    execute = instance.execute

    def watched(batch: Batch) -> Execution:
        ran_on.append(get_ident())
        return execute(batch)

    monkeypatch.setattr(instance, "execute", watched)
    model = make_model(loaded, cores=cores, processes=None)
    await Load(model).run(400)
    await model.drain()
    await asyncio.to_thread(model.close)
    assert questions == asked
    assert len({get_ident(), *ran_on[-8:]}) == threads


def test_batches_of_a_gpu_stay_off_the_loops_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran_on: list[int] = []

    async def scenario() -> None:
        loaded = load(tmp_path, CONFIG.replace("300", "0"))
        (placed,) = loaded.instances
        execute = placed.instance.execute

        def watched(batch: Batch) -> Execution:
            ran_on.append(get_ident())
            return execute(batch)

        monkeypatch.setattr(placed.instance, "execute", watched)
        loaded = replace(loaded, instances=(replace(placed, device=Device("GPU")),))
        model = make_model(loaded, cores=8, processes=None)
        await Load(model).run(400)
        await model.drain()
        await asyncio.to_thread(model.close)

    monkeypatch.setattr("despina.models.model.inline_limit_ns", lambda _cores, _instances: 1_000_000_000)
    asyncio.run(scenario())
    assert get_ident() not in ran_on


async def until_process(load: Load, caplog: pytest.LogCaptureFixture) -> int:
    """Be busy until the instance has its process; its id."""
    for _ in range(50):
        await load.run(8 * OwnProcess.BUSY_RUNS)
        for record in caplog.records:
            if "runs them from now on" in record.message:
                return int(record.args[1])
    raise AssertionError(caplog.messages)


async def test_a_busy_model_gets_a_process_and_loses_no_request_when_that_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    model = make_model(load(tmp_path))
    work = Load(model)
    pid = await until_process(work, caplog)
    before = work.answered
    running = asyncio.create_task(work.run(400))
    while work.answered < before + 100:
        await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    await running
    assert work.answered == before + 400
    assert "the process of instance 'm_0_0' is gone; a thread runs its batches again" in caplog.messages
    await model.drain()
    await asyncio.to_thread(model.close)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_process_that_is_stopped_is_given_up_and_no_request_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("despina.scheduling.process_runs.BEAT_NS", 10_000_000)

    model = make_model(load(tmp_path))
    work = Load(model)
    pid = await until_process(work, caplog)
    before = work.answered
    os.kill(pid, signal.SIGSTOP)
    await asyncio.wait_for(work.run(20), 60)
    assert work.answered == before + 20
    assert f"process {pid} has batches to run and stands still: it will be ended" in caplog.messages
    await model.drain()
    await asyncio.to_thread(model.close)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_closed_model_leaves_no_process_and_room_for_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    room = Semaphore(1)
    model = make_model(load(tmp_path), processes=room)
    pid = await until_process(Load(model), caplog)
    assert not room.acquire(blocking=False)
    await model.drain()
    await asyncio.to_thread(model.close)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert room.acquire(blocking=False)


def test_files_that_changed_since_the_load_get_no_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = load(tmp_path)
    offer = process_offer(loaded, loaded.instances[0], SchedulingOptions(processes=Semaphore(1)))
    assert offer is not None
    later = time_ns() + 10**9
    os.utime(tmp_path / "m" / "1" / "weights", ns=(later, later))
    with pytest.raises(Unavailable, match="the files of version 1 have changed since they were loaded"):
        offer.start()
    loaded.close()


def test_another_link_to_a_file_is_no_change(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    offer = process_offer(loaded, loaded.instances[0], SchedulingOptions(processes=Semaphore(1)))
    assert offer is not None
    os.link(tmp_path / "m" / "1" / "weights", tmp_path / "link")
    process = offer.start()
    process.close()
    process.reap()
    loaded.close()


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (CONFIG, {"processes": None}),
        (CONFIG, {"rate_limiter": RateLimiter(None)}),
        (CONFIG.replace("max_batch_size: 8 dynamic_batching {}", ""), {}),
        (CONFIG.replace("dims: 2", "dims: -1"), {}),
        (CONFIG.replace("TYPE_FP32", "TYPE_STRING"), {}),
        (CONFIG.replace("dynamic_batching", "sequence_batching"), {}),
    ],
    ids=["switched off", "limited rate", "no batch dimension", "variable", "text", "sequences"],
)
def test_what_gets_no_process(tmp_path: Path, config: str, options: dict[str, object]) -> None:
    loaded = load(tmp_path, config)
    scheduling = SchedulingOptions(**{"processes": Semaphore(1), **options})
    assert process_offer(loaded, loaded.instances[0], scheduling) is None
    loaded.close()


def test_a_model_whose_batches_are_laid_out_for_it_gets_no_process(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    bucketed = replace(loaded, layout=BatchLayout(None, (ShapeBucket("IN", 1, (2,), 0, {}, None, None),)))
    assert process_offer(bucketed, loaded.instances[0], SchedulingOptions(processes=Semaphore(1))) is None
    loaded.close()


def test_a_model_with_large_files_gets_no_process(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    large = replace(loaded, files=frozenset({("model.onnx", 1, MAX_FILE_BYTES, 0), ("tables", 2, 1, 0)}))
    assert process_offer(large, loaded.instances[0], SchedulingOptions(processes=Semaphore(1))) is None
    loaded.close()
