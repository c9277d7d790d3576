"""A repository on disk, and models over it that load, drain and close as the test says."""

import asyncio
import os
import threading
from pathlib import Path

from despina.errors import InvalidArgument
from despina.models.lifecycle import Models
from despina.models.loader import LoadedVersion
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

    def hold(self, name):
        """Loads of the model wait until this is set."""
        self.gates[name] = threading.Event()
        return self.gates[name]

    async def attempted(self, count):
        while len(self.attempts) < count:
            await asyncio.sleep(0.001)

    def index_of(self, rows, name):
        return [(row.get("version"), row.get("state"), row.get("reason")) for row in rows if row["name"] == name]


async def started(repository, mode="explicit", **settings) -> Bench:
    bench = Bench(repository, mode, **settings)
    await bench.models.start()
    return bench


def ready(models) -> list[str]:
    return [model.name for model in models.ready_models()]


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
        pending = [task for task in asyncio.all_tasks() if "/despina/" in task.get_coro().cr_code.co_filename]
        if not pending:
            return
        await asyncio.wait(pending, timeout=5)
