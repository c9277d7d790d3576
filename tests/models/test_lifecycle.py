import asyncio
import errno
import gc
import json
import os
import shutil
import threading
import weakref
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

from despina.errors import DespinaError, Internal, InvalidArgument, NotFound, Unavailable
from despina.models.failures import NotInRepository
from despina.models.lifecycle import Models
from despina.models.loader import LoadedVersion
from despina.models.source import Source
from despina.settings import Settings

POLICY_ALL = "version_policy { all { } }"


class Served:
    """A model that counts what happens to it and is in flight for as long as the test says."""

    def __init__(self, loaded, closed):
        self.name, self.version, self.config = loaded.name, loaded.version, loaded.config
        self.idle = asyncio.Event()
        self.idle.set()
        self._closed = closed

    @property
    def in_flight(self):
        return not self.idle.is_set()

    async def drain(self):
        await self.idle.wait()

    def close(self):
        self._closed.append((self.name, self.version))


class Bench:
    """Models over a repository on disk, with a load that fails for what is in `broken`."""

    def __init__(self, repository, mode="explicit", **settings):
        self.repository = repository
        self.broken = set()
        self.failure = InvalidArgument("it is broken")
        self.attempts = []
        self.closed = []
        self.gates = {}
        self.now = 0.0
        self.fits = lambda config_of: True
        settings.setdefault("model_repository", (repository,))
        self.models = Models(
            Settings(model_control_mode=mode, **settings),
            lambda loaded: Served(loaded, self.closed),
            load=self._load,
            check_ensemble=self._check_ensemble,
            now=lambda: self.now,
        )

    def _load(self, candidate, version):
        self.attempts.append((candidate.name, version))
        if candidate.name in self.gates:
            self.gates[candidate.name].wait(10)
        if (candidate.name, version) in self.broken:
            raise self.failure
        return LoadedVersion(candidate.name, version, candidate.config, candidate.directory, None, (), {}, 0.0)

    def _check_ensemble(self, config, config_of):
        for step in config.ensemble_scheduling.step:
            config_of(step.model_name, None)
        if not self.fits(config_of):
            raise InvalidArgument("it does not fit")

    def index_of(self, rows, name):
        return [(row.get("version"), row.get("state"), row.get("reason")) for row in rows if row["name"] == name]


def put(repository: Path, name: str, config: str = "", versions=(1,)) -> Path:
    for version in versions:
        (repository / name / str(version)).mkdir(parents=True, exist_ok=True)
    (repository / name / "config.pbtxt").write_text(f'backend: "identity" {config}')
    return repository / name


def put_ensemble(repository: Path, name: str, *steps: str) -> None:
    (repository / name / "1").mkdir(parents=True, exist_ok=True)
    text = " ".join(
        f'step {{ model_name: "{step}" model_version: -1 input_map {{ key: "a" value: "a" }} '
        f'output_map {{ key: "b" value: "b{number}" }} }}'
        for number, step in enumerate(steps)
    )
    tensors = " ".join(
        f'output {{ name: "b{number}" data_type: TYPE_FP32 dims: [ 1 ] }}' for number, _ in enumerate(steps)
    )
    (repository / name / "config.pbtxt").write_text(
        f'platform: "ensemble" input {{ name: "a" data_type: TYPE_FP32 dims: [ 1 ] }} {tensors} '
        f"ensemble_scheduling {{ {text} }}"
    )


def touch(path: Path, seconds: int) -> None:
    """Change `path` at a time of our own choice, in the future so that it differs from when it was made."""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    stat = path.stat()
    os.utime(path, ns=(stat.st_mtime_ns + seconds * 10**9,) * 2)


async def settled(models) -> None:
    """Let background work end: everything freed, every left-over step unloaded."""
    for _ in range(200):
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        if not pending:
            return
        await asyncio.wait(pending, timeout=5)


# Start


@pytest.mark.parametrize(
    ("mode", "names", "expected"),
    [
        ("none", (), ["a", "b"]),
        ("explicit", (), []),
        ("explicit", ("b",), ["b"]),
        ("explicit", ("*",), ["a", "b"]),
    ],
)
def test_the_mode_decides_what_is_loaded_at_start(tmp_path, mode, names, expected):
    async def run():
        put(tmp_path, "a")
        put(tmp_path, "b")
        bench = Bench(tmp_path, mode, load_model=names)
        assert not bench.models.is_ready(strict=True)
        report = await bench.models.start()
        assert report.succeeded
        assert [row.name for row in report.rows] == expected
        assert [model.name for model in bench.models.ready_models()] == expected
        assert bench.models.is_ready(strict=True)
        assert await bench.models.stop(5)

    asyncio.run(run())


def test_a_start_looks_for_the_steps_of_a_model_as_often_however_many_there_are(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("despina.models.candidate.steps_of", lambda config: looked.append(config) or ())

    async def looks(count):
        looked.clear()
        for number in range(count):
            put(tmp_path / str(count), f"m{number}")
        bench = Bench(tmp_path / str(count), "none")
        assert (await bench.models.start()).succeeded
        started = len(looked)
        await bench.models.stop(5)
        return started

    assert asyncio.run(looks(40)) == 4 * asyncio.run(looks(10))


def test_the_loop_comes_round_while_many_models_go(tmp_path):
    async def run():
        for number in range(30):
            put(tmp_path, f"m{number}")
        bench = Bench(tmp_path, "poll", repository_poll_secs=0)
        await bench.models.start()
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

    asyncio.run(run())


def test_the_wildcard_stands_alone(tmp_path):
    async def run():
        with pytest.raises(InvalidArgument, match="must be the ONLY startup model"):
            await Bench(tmp_path, load_model=("*", "a")).models.start()

    asyncio.run(run())


def test_what_does_not_load_is_reported_and_the_rest_serves(tmp_path):
    async def run():
        put(tmp_path, "good")
        put(tmp_path, "bad")
        put(tmp_path, "unreadable", "nonsense")
        bench = Bench(tmp_path, "none")
        bench.broken = {("bad", 1)}
        report = await bench.models.start()
        assert not report.succeeded
        rows = [(row.name, row.version, row.state, row.model is not None) for row in report.rows]
        assert rows == [
            ("bad", 1, "UNAVAILABLE", False),
            ("good", 1, "READY", True),
            ("unreadable", None, "UNAVAILABLE", False),
        ]
        assert "failed to read text proto" in report.rows[2].reason
        assert not bench.models.is_ready(strict=True)
        assert bench.models.is_ready(strict=False)

    asyncio.run(run())


def test_a_model_whose_backend_exits_takes_nobody_along(tmp_path):
    async def run():
        put(tmp_path, "good")
        put(tmp_path, "bad")
        bench = Bench(tmp_path, "none")
        bench.broken, bench.failure = {("bad", 1)}, SystemExit(1)
        report = await bench.models.start()
        assert [(row.name, row.state, row.reason) for row in report.rows] == [
            ("bad", "UNAVAILABLE", "Internal: SystemExit(1)"),
            ("good", "READY", ""),
        ]

    asyncio.run(run())


def test_a_failed_load_is_retried_as_often_as_asked(tmp_path):
    async def run():
        put(tmp_path, "bad")
        bench = Bench(tmp_path, "none", model_load_retry_count=2)
        bench.broken = {("bad", 1)}
        await bench.models.start()
        assert bench.attempts == [("bad", 1)] * 3

    asyncio.run(run())


def test_a_name_in_two_repositories_belongs_to_nobody(tmp_path):
    async def run():
        for repository in ("one", "two"):
            put(tmp_path / repository, "m")
        put(tmp_path / "two", "n")
        bench = Bench(tmp_path, "none", model_repository=(tmp_path / "one", tmp_path / "two"))
        report = await bench.models.start()
        assert [name for name, _ in report.failures] == ["m"]
        assert await bench.models.index(ready_only=True) == [
            {"name": "m", "state": "UNAVAILABLE", "reason": "model appears in two or more repositories"},
            {"name": "n", "version": "1", "state": "READY"},
        ]

    asyncio.run(run())


# Load and unload


def test_load_and_unload_take_a_model_through_its_states(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path)
        models = bench.models
        await models.start()
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
        assert await models.index(False) == [
            {"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}
        ]
        assert models.is_ready(strict=True)

    asyncio.run(run())


def test_a_load_while_the_old_one_drains_is_not_undone_by_its_end(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path)
        await bench.models.start()
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

    asyncio.run(run())


def test_an_unloaded_model_is_freed(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path, load_model=("m",))
        report = await bench.models.start()
        model = weakref.ref(bench.models.get("m", 1))
        await bench.models.unload("m", False)
        await settled(bench.models)
        gc.collect()
        assert model() is None
        assert report.succeeded

    asyncio.run(run())


def test_loading_an_unchanged_model_does_nothing_and_a_changed_one_is_swapped(tmp_path):
    async def run():
        directory = put(tmp_path, "m")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("m", {})
        first = bench.models.get("m", 1)
        await bench.models.load("m", {})
        assert bench.models.get("m", 1) is first
        touch(directory / "1" / "model.bin", 10)
        await bench.models.load("m", {})
        assert bench.models.get("m", 1) is not first
        await settled(bench.models)
        assert bench.closed == [("m", 1)]

    asyncio.run(run())


def test_the_old_version_serves_until_the_new_one_is_ready(tmp_path):
    async def run():
        directory = put(tmp_path, "m")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("m", {})
        first = bench.models.get("m", None)
        bench.gates["m"] = threading.Event()
        touch(directory / "1" / "model.bin", 10)
        loading = asyncio.create_task(bench.models.load("m", {}))
        while len(bench.attempts) < 2:
            await asyncio.sleep(0.001)
        assert bench.models.get("m", None) is first
        assert bench.models.is_ready(strict=True)
        bench.gates["m"].set()
        await loading
        assert bench.models.get("m", None) is not first

    asyncio.run(run())


def test_a_failed_reload_changes_nothing_and_is_tried_again(tmp_path):
    async def run():
        directory = put(tmp_path, "m")
        bench = Bench(tmp_path)
        await bench.models.start()
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

    asyncio.run(run())


def test_one_bad_version_takes_the_good_ones_of_the_same_load_with_it(tmp_path):
    async def run():
        put(tmp_path, "m", POLICY_ALL, versions=(1, 2, 3))
        bench = Bench(tmp_path)
        await bench.models.start()
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

    asyncio.run(run())


def test_a_model_without_versions_fails_with_a_text_of_its_own(tmp_path):
    async def run():
        put(tmp_path, "m", "version_policy { specific { versions: [ 7 ] } }")
        bench = Bench(tmp_path)
        await bench.models.start()
        with pytest.raises(InvalidArgument) as error:
            await bench.models.load("m", {})
        assert error.value.message == (
            "load failed for model 'm': at least one version must be available under the version policy of model 'm'\n"
        )
        assert await bench.models.index(False) == []
        assert not bench.models.is_ready(strict=True)

    asyncio.run(run())


def test_a_change_of_the_version_policy_keeps_the_versions_that_stay(tmp_path):
    async def run():
        directory = put(tmp_path, "m", POLICY_ALL, versions=(1, 2))
        bench = Bench(tmp_path)
        await bench.models.start()
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

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_load_and_unload_need_explicit_mode(tmp_path, mode):
    async def run():
        models = Bench(tmp_path, mode).models
        await models.start()
        for request in (models.load("m", {}), models.unload("m", True)):
            with pytest.raises(Unavailable, match="not allowed if polling is enabled"):
                await request

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        (" ", InvalidArgument, "Model name cannot be empty. Please enter a valid name to deploy."),
        ("..", InvalidArgument, "invalid model name '..', model name must not contain path traversal characters"),
        ("a/b", InvalidArgument, "invalid model name 'a/b', model name must not contain path traversal characters"),
        ("ghost", Internal, "failed to load 'ghost', failed to poll from model repository"),
    ],
)
def test_names_that_cannot_be_loaded(tmp_path, name, kind, text):
    async def run():
        models = Bench(tmp_path).models
        await models.start()
        with pytest.raises(Internal.__mro__[1]) as error:
            await models.load(name, {})
        assert (error.value.status, error.value.message) == (kind.status, text)
        await models.unload(name, True)

    asyncio.run(run())


def test_a_directory_that_may_not_be_read_is_a_failed_poll(tmp_path, monkeypatch, caplog):
    async def run():
        models = Bench(tmp_path).models
        await models.start()
        with pytest.raises(DespinaError, match="failed to load 'm', failed to poll from model repository"):
            await models.load("m", {})

    def candidate(self, name, override):
        raise PermissionError(errno.EACCES, "Permission denied", "m/1")

    monkeypatch.setattr(Source, "candidate", candidate)
    asyncio.run(run())
    assert caplog.messages == ["Poll failed for model directory 'm': m/1: Permission denied"]


def test_changes_of_one_model_wait_for_each_other_and_of_two_do_not(tmp_path):
    async def run():
        for name in ("slow", "quick"):
            put(tmp_path, name)
        bench = Bench(tmp_path)
        await bench.models.start()
        bench.gates["slow"] = threading.Event()
        loading = asyncio.create_task(bench.models.load("slow", {}))
        while not bench.attempts:
            await asyncio.sleep(0.001)
        unloading = asyncio.create_task(bench.models.unload("slow", False))
        await bench.models.load("quick", {})
        assert not loading.done()
        assert not unloading.done()
        bench.gates["slow"].set()
        await loading
        await unloading
        await settled(bench.models)
        assert [model.name for model in bench.models.ready_models()] == ["quick"]

    asyncio.run(run())


def test_a_step_is_not_unloaded_while_its_ensemble_is_brought_up(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "e", "a")
        bench = Bench(tmp_path)
        await bench.models.start()
        bench.gates["a"] = threading.Event()
        loading = asyncio.create_task(bench.models.load("e", {}))
        while not bench.attempts:
            await asyncio.sleep(0.001)
        unloading = asyncio.create_task(bench.models.unload("a", False))
        await asyncio.sleep(0)
        bench.gates["a"].set()
        await loading
        await unloading
        await settled(bench.models)
        assert list(bench.models.ready_models()) == []

    asyncio.run(run())


def test_a_caller_that_goes_away_does_not_cancel_the_load(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path)
        await bench.models.start()
        bench.gates["m"] = threading.Event()
        loading = asyncio.create_task(bench.models.load("m", {}))
        while not bench.attempts:
            await asyncio.sleep(0.001)
        loading.cancel()
        bench.gates["m"].set()
        await settled(bench.models)
        assert bench.models.versions("m") == [1]

    asyncio.run(run())


# Overrides


def test_a_configuration_override_lasts_until_the_model_is_unloaded(tmp_path):
    async def run():
        put(tmp_path, "m", "max_batch_size: 4")
        models = Bench(tmp_path).models
        await models.start()
        await models.load("m", {"config": json.dumps({"backend": "identity", "max_batch_size": 2})})
        await models.load("m", {})
        assert models.get("m", None).config.max_batch_size == 2
        await models.unload("m", False)
        await models.load("m", {})
        assert models.get("m", None).config.max_batch_size == 4

    asyncio.run(run())


def test_overridden_files_are_the_whole_model_until_the_next_plain_load(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("m", {"config": '{"backend":"identity"}', "file:5/model.bin": b"x"})
        assert bench.models.versions("m") == [5]
        directory = bench.models._states["m"].serving.directory
        assert (directory / "5" / "model.bin").read_bytes() == b"x"
        await bench.models.load("m", {})
        await settled(bench.models)
        assert bench.models.versions("m") == [1]
        assert not directory.exists()

    asyncio.run(run())


def test_overridden_files_may_have_a_name_of_their_own(tmp_path):
    async def run():
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("new", {"config": '{"backend":"identity"}', "file:1/model.bin": b"x"})
        assert bench.models.versions("new") == [1]
        assert await bench.models.index(False) == []
        directory = bench.models._states["new"].serving.directory
        await bench.models.unload("new", False)
        await settled(bench.models)
        assert not directory.exists()

    asyncio.run(run())


@pytest.mark.parametrize(
    "parameters",
    [
        {"config": "{not json"},
        {"config": '{"backend":"identity","name":"other"}'},
        {"file:1/model.bin": b"x"},
        {"config": '{"backend":"identity"}', "file:../evil": b"x"},
    ],
)
def test_an_override_that_cannot_be_read_leaves_the_old_one_serving(tmp_path, parameters):
    async def run():
        put(tmp_path, "m")
        models = Bench(tmp_path).models
        await models.start()
        await models.load("m", {})
        first = models.get("m", None)
        with pytest.raises(Exception, match="failed to load 'm', failed to poll from model repository"):
            await models.load("m", parameters)
        assert models.get("m", None) is first

    asyncio.run(run())


# Ensembles


def test_an_ensemble_brings_its_steps_and_takes_those_nobody_else_needs(tmp_path):
    async def run():
        for name in ("a", "b", "c"):
            put(tmp_path, name)
        put_ensemble(tmp_path, "first", "a", "b", "c")
        put_ensemble(tmp_path, "second", "c")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("b", {})
        await bench.models.load("first", {})
        await bench.models.load("second", {})
        assert [m.name for m in bench.models.ready_models()] == ["a", "b", "c", "first", "second"]
        assert len(bench.attempts) == 5
        await bench.models.unload("first", True)
        assert [m.name for m in bench.models.ready_models()] == ["b", "c", "second"]
        await bench.models.unload("second", False)
        assert [m.name for m in bench.models.ready_models()] == ["b", "c"]

    asyncio.run(run())


def test_steps_stay_until_the_ensemble_has_answered(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "e", "a")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("e", {})
        ensemble = bench.models.get("e", None)
        ensemble.idle.clear()
        await bench.models.unload("e", True)
        assert bench.models.versions("e") == []
        assert bench.models.versions("a") == [1]
        ensemble.idle.set()
        await settled(bench.models)
        assert bench.models.versions("a") == []
        assert bench.closed == [("e", 1), ("a", 1)]

    asyncio.run(run())


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
def test_an_ensemble_that_cannot_run_does_not_load(tmp_path, steps, text):
    async def run():
        put(tmp_path, "a")
        put(tmp_path, "bad")
        for name, used in steps.items():
            put_ensemble(tmp_path, name, *used)
        bench = Bench(tmp_path)
        bench.broken = {("bad", 1)}
        await bench.models.start()
        with pytest.raises(InvalidArgument) as error:
            await asyncio.wait_for(bench.models.load("e", {}), 10)
        assert error.value.message == f"load failed for model 'e': {text}\n"
        assert bench.models.versions("e") == []
        assert [row for row in await bench.models.index(False) if row["name"] == "e"] == [{"name": "e"}]

    asyncio.run(run())


def test_an_ensemble_without_its_steps_does_not_make_the_server_unready(tmp_path):
    async def run():
        put_ensemble(tmp_path, "e", "ghost")
        models = Bench(tmp_path, "none").models
        report = await models.start()
        assert [name for name, _ in report.failures] == ["e"]
        assert models.is_ready(strict=True)
        with pytest.raises(NotFound, match="Request for unknown model: 'e' is not found"):
            models.get("e", None)

    asyncio.run(run())


def test_an_ensemble_without_versions_brings_its_steps_before_it_fails(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "e", "a")
        (tmp_path / "e" / "1").rmdir()
        models = Bench(tmp_path).models
        await models.start()
        with pytest.raises(InvalidArgument, match="at least one version must be available"):
            await models.load("e", {})
        assert models.versions("a") == [1]
        assert not models.is_ready(strict=True)

    asyncio.run(run())


def test_loading_an_ensemble_again_loads_what_changed_of_its_steps(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "inner", "a")
        put_ensemble(tmp_path, "outer", "inner")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("outer", {})
        await bench.models.load("outer", {})
        assert len(bench.attempts) == 3
        touch(tmp_path / "a" / "1" / "model.onnx", 1)
        await bench.models.load("outer", {})
        assert bench.attempts[3:] == [("a", 1)]
        bench.broken = {("a", 1)}
        touch(tmp_path / "a" / "1" / "model.onnx", 2)
        await bench.models.load("outer", {})  # its step serves as before
        (tmp_path / "a" / "config.pbtxt").write_text("?")
        for name in ("outer", "inner", "a"):
            with pytest.raises(NotInRepository, match=f"failed to load '{name}', failed to poll from model"):
                await bench.models.load(name, {})
        assert [m.name for m in bench.models.ready_models()] == ["a", "inner", "outer"]

    asyncio.run(run())


def test_an_ensemble_that_no_longer_fits_what_changed_of_its_steps_is_said_to_fail(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "inner", "a")
        put_ensemble(tmp_path, "outer", "inner")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("outer", {})
        bench.fits = lambda config_of: not config_of("a", None).max_batch_size
        put(tmp_path, "a", "max_batch_size: 1")
        touch(tmp_path / "a" / "config.pbtxt", 1)
        text = (
            "ensemble 'outer' depends on 'inner' which is not valid. Model 'inner' failed with error: it does not fit"
        )
        with pytest.raises(InvalidArgument, match=text):
            await bench.models.load("outer", {})
        assert [m.name for m in bench.models.ready_models()] == ["a"]

    asyncio.run(run())


def test_what_was_unloaded_does_not_come_back_with_an_ensemble_that_ran_it(tmp_path):
    async def run():
        for name in ("a", "b", "c"):
            put(tmp_path, name)
        put_ensemble(tmp_path, "inner", "a", "b")
        put_ensemble(tmp_path, "outer", "inner", "c")
        models = Bench(tmp_path).models
        await models.start()
        await models.load("outer", {})
        await models.unload("a", False)
        for name in ("b", "c"):  # steps of the ensembles that wait for it
            touch(tmp_path / name / "config.pbtxt", 1)
            await models.load(name, {})
            assert [m.name for m in models.ready_models()] == ["b", "c"]
        await models.load("a", {})
        assert [m.name for m in models.ready_models()] == ["a", "b", "c", "inner", "outer"]

    asyncio.run(run())


def test_a_step_that_failed_is_not_tried_again_with_another_step(tmp_path):
    async def run():
        put(tmp_path, "a")
        put(tmp_path, "b")
        put_ensemble(tmp_path, "e", "a", "b")
        bench = Bench(tmp_path)
        bench.broken = {("a", 1)}
        await bench.models.start()
        with pytest.raises(InvalidArgument):
            await bench.models.load("e", {})
        bench.attempts.clear()
        touch(tmp_path / "b" / "1" / "model.onnx", 1)
        await bench.models.load("b", {})
        assert bench.attempts == [("b", 1)]
        bench.broken.clear()
        await bench.models.load("a", {})
        assert [m.name for m in bench.models.ready_models()] == ["a", "b", "e"]

    asyncio.run(run())


def test_an_ensemble_that_comes_back_takes_its_other_steps_as_they_are(tmp_path):
    async def run():
        for name in ("a", "b"):
            put(tmp_path, name)
        put_ensemble(tmp_path, "e", "a", "b")
        models = Bench(tmp_path).models
        await models.start()
        await models.load("e", {})
        await models.load("a", {"config": '{"backend":"identity"}', "file:2/model.bin": b"x"})
        await models.unload("b", False)
        await models.load("b", {})
        assert [(m.name, m.version) for m in models.ready_models()] == [("a", 2), ("b", 1), ("e", 1)]
        await models.stop(5)

    asyncio.run(run())


def test_an_ensemble_comes_back_as_it_was(tmp_path):
    async def run():
        for name in ("a", "b"):
            put(tmp_path, name)
        put_ensemble(tmp_path, "e", "a", "b")
        models = Bench(tmp_path).models
        await models.start()
        only_a = Source(Settings(model_repository=(tmp_path,))).candidate("e").config
        del only_a.ensemble_scheduling.step[1:]
        del only_a.output[1:]
        await models.load("e", {"config": MessageToJson(only_a)})
        await models.unload("a", False)
        put_ensemble(tmp_path, "e", "b")
        await models.load("a", {})
        assert [m.name for m in models.ready_models()] == ["a", "e"]
        only_a.ensemble_scheduling.step[0].model_name = "nope"
        with pytest.raises(InvalidArgument, match="not available or ambiguous: nope"):
            await models.load("e", {"config": MessageToJson(only_a)})
        await models.unload("a", False)
        await models.load("a", {})
        assert [m.name for m in models.ready_models()] == ["a", "e"]
        await models.unload("a", False)
        shutil.rmtree(tmp_path / "e")
        await models.load("a", {})
        assert [m.name for m in models.ready_models()] == ["a"]

    asyncio.run(run())


def test_an_ensemble_comes_back_with_the_files_that_had_come_for_it(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "e", "a")
        bench = Bench(tmp_path)
        models = bench.models
        await models.start()
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

    asyncio.run(run())


def test_an_ensemble_goes_and_comes_back_with_its_step(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "inner", "a")
        put_ensemble(tmp_path, "outer", "inner")
        models = Bench(tmp_path).models
        await models.start()
        await models.load("outer", {})
        await models.unload("a", False)
        assert models.ready_models() == []
        await models.load("a", {})
        assert [m.name for m in models.ready_models()] == ["a", "inner", "outer"]

    asyncio.run(run())


def test_everything_loads_at_start_in_whatever_order(tmp_path):
    async def run():
        put_ensemble(tmp_path, "a_outer", "b_inner", "z")
        put_ensemble(tmp_path, "b_inner", "z")
        put(tmp_path, "z")
        bench = Bench(tmp_path, "none", model_load_thread_count=1)
        report = await asyncio.wait_for(bench.models.start(), 10)
        assert report.succeeded
        assert bench.attempts == [("z", 1), ("b_inner", 1), ("a_outer", 1)]

    asyncio.run(run())


# Polling


def test_polling_follows_what_appears_changes_and_vanishes(tmp_path):
    async def run():
        directory = put(tmp_path, "m")
        bench = Bench(tmp_path, "poll")
        models = bench.models
        await models.start()
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

    asyncio.run(run())


def test_polling_unloads_a_name_that_comes_up_twice_until_one_of_them_goes(tmp_path):
    async def run():
        first = put(tmp_path / "one", "m")
        (tmp_path / "two").mkdir()
        bench = Bench(tmp_path, "poll", model_repository=(tmp_path / "one", tmp_path / "two"))
        await bench.models.start()
        put(tmp_path / "two", "m")
        bench.now = 1e12
        await bench.models.poll()
        await bench.models.poll()
        assert bench.models.versions("m") == []
        first.rename(tmp_path / "elsewhere")
        await bench.models.poll()
        assert bench.models.versions("m") == [1]

    asyncio.run(run())


def test_polling_tries_a_failed_model_again(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path, "poll")
        bench.broken = {("m", 1)}
        await bench.models.start()
        bench.now = 1e12
        await bench.models.poll()
        bench.broken = set()
        await bench.models.poll()
        assert bench.models.versions("m") == [1]

    asyncio.run(run())


def test_a_repository_that_is_gone_is_a_line_in_the_log_and_comes_back(tmp_path, caplog):
    async def run():
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

    caplog.set_level("ERROR")
    asyncio.run(asyncio.wait_for(run(), 10))
    assert {record.exc_info for record in caplog.records} == {None}
    assert caplog.messages[0].startswith("failed to poll the model repository: ")


def test_the_poll_runs_by_itself_until_stopped(tmp_path):
    async def run():
        bench = Bench(tmp_path, "poll", repository_poll_secs=0.01)
        bench.now = 1e12
        await bench.models.start()
        put(tmp_path, "m")
        while not bench.models.versions("m"):
            await asyncio.sleep(0.01)
        assert await bench.models.stop(5)
        assert bench.closed == [("m", 1)]

    asyncio.run(asyncio.wait_for(run(), 10))


# Stop


def test_stopping_answers_what_was_accepted_ensembles_first(tmp_path):
    async def run():
        put(tmp_path, "a")
        put_ensemble(tmp_path, "e", "a")
        bench = Bench(tmp_path, load_model=("e",))
        await bench.models.start()
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

    asyncio.run(run())


def test_stopping_gives_up_after_its_time(tmp_path):
    async def run():
        put(tmp_path, "m")
        bench = Bench(tmp_path, load_model=("m",))
        await bench.models.start()
        bench.models.get("m", None).idle.clear()
        assert not await bench.models.stop(0.01)

    asyncio.run(run())


def test_an_ensemble_that_failed_to_change_its_steps_goes_with_those_it_has(tmp_path):
    async def run():
        put(tmp_path, "a")
        put(tmp_path, "bad")
        put_ensemble(tmp_path, "e", "a")
        bench = Bench(tmp_path)
        bench.broken = {("bad", 1)}
        await bench.models.start()
        await bench.models.load("e", {})
        put_ensemble(tmp_path, "e", "bad")
        touch(tmp_path / "e" / "config.pbtxt", 1)
        with pytest.raises(InvalidArgument):
            await bench.models.load("e", {})
        assert bench.models.versions("e") == [1]
        await bench.models.unload("a", False)
        assert bench.models.versions("e") == []

    asyncio.run(run())


def test_an_ensemble_loads_over_a_step_whose_change_failed_but_that_serves_as_before(tmp_path):
    async def run():
        directory = put(tmp_path, "a")
        put_ensemble(tmp_path, "e", "a")
        bench = Bench(tmp_path)
        await bench.models.start()
        await bench.models.load("a", {})
        bench.broken = {("a", 1)}
        touch(directory / "1" / "model.bin", 10)
        await bench.models.load("e", {})
        assert [model.name for model in bench.models.ready_models()] == ["a", "e"]
        assert bench.attempts.count(("a", 1)) == 2

    asyncio.run(run())


def test_stopping_begins_no_load_that_still_waits_for_a_thread(tmp_path):
    async def run():
        put(tmp_path, "slow")
        put(tmp_path, "next")
        bench = Bench(tmp_path, model_load_thread_count=1)
        await bench.models.start()
        bench.gates["slow"] = threading.Event()
        slow = asyncio.create_task(bench.models.load("slow", {}))
        while not bench.attempts:
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(bench.models.load("next", {}))
        while bench.index_of(await bench.models.index(False), "next") != [("1", "LOADING", None)]:
            await asyncio.sleep(0.001)
        assert not await bench.models.stop(0)
        bench.gates["slow"].set()
        await asyncio.gather(slow, waiting, return_exceptions=True)
        assert bench.attempts == [("slow", 1)]

    asyncio.run(run())
