"""The model under measurement: loaded once per number of threads, run on as many instances at a time as asked for."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Barrier, BrokenBarrierError, Event

from despina.config.names import ENSEMBLE
from despina.config.proto import ModelConfig, copy_of, model_config_pb2
from despina.errors import BACKEND_ERRORS, InvalidArgument
from despina.models.candidate import Candidate
from despina.models.loader import LoadedVersion, load_version
from despina.settings import Settings
from despina.tuning.choose import THREADS
from despina.tuning.inputs import Shapes, make_batch, random_row
from despina.tuning.measure import Point
from despina_backends.base import Array, BackendError, Batch, Instance

_LEAST_RUNS = 3


def check_tunable(config: ModelConfig) -> None:
    """Raises InvalidArgument for what has no batches of its own to tune."""
    if config.platform == ENSEMBLE or config.HasField("ensemble_scheduling"):
        steps = ", ".join(step.model_name for step in config.ensemble_scheduling.step)
        raise InvalidArgument(f"model '{config.name}' is an ensemble: tune its steps ({steps})")
    if config.HasField("sequence_batching"):
        raise InvalidArgument(f"model '{config.name}' batches sequences, whose batches their slots determine")
    if len(config.instance_group) > 1:
        raise InvalidArgument(
            f"model '{config.name}' has {len(config.instance_group)} instance groups, and only one can be tuned: "
            "leave one and try again"
        )


@dataclass(frozen=True, slots=True)
class Looks:
    """What the first load tells: whether the model batches, how many threads its configuration fixes (0: none) and
    on which kind of device it runs (ModelInstanceGroup.Kind)."""

    batches: bool
    threads: int
    kind: int

    @property
    def on_gpu(self) -> bool:
        return bool(self.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU)


class Stand:
    """Loads `version` of a candidate as points ask for it. `gpus` as in `load_version`. Not for several threads."""

    def __init__(
        self,
        candidate: Candidate,
        version: int,
        settings: Settings,
        shapes: Shapes,
        gpus: Callable[[str], Mapping[int, str]] | None = None,
    ) -> None:
        check_tunable(candidate.config)
        self._candidate = candidate
        self._version = version
        self._settings = settings
        self._shapes = shapes
        self._gpus = gpus
        self._instances: dict[int, int] = {}
        self._loaded: dict[int, LoadedVersion] = {}
        self._row: dict[str, Array] = {}

    def look(self) -> Looks:
        """Load one instance, look at it, and let it go."""
        loaded = self._load(0, 1)
        try:
            random_row(loaded.config, self._shapes)
            threads = _fixed_threads(self._candidate.config)
            return Looks(loaded.config.max_batch_size > 0, threads, loaded.config.instance_group[0].kind)
        finally:
            loaded.close()

    def plan(self, instances: Mapping[int, int]) -> None:
        """How many instances to load, by number of threads, when a point first needs them."""
        self._instances = dict(instances)

    def run(self, point: Point, seconds: float) -> Sequence[float]:
        """Run batches on the point's instances at the same time for about `seconds`. The seconds that each took. Raises
        DespinaError when the model refuses them."""
        arrangement = point.arrangement
        loaded = self._open(arrangement.threads)
        instances = [placed.instance for placed in loaded.instances[: arrangement.instances]]
        batch = make_batch(self._row, point.rows, batches=loaded.config.max_batch_size > 0)
        return run_together(instances, batch, seconds)

    def close(self) -> None:
        """Let go of the model."""
        while self._loaded:
            self._loaded.popitem()[1].close()

    def _open(self, threads: int) -> LoadedVersion:
        if threads not in self._loaded:
            self._loaded[threads] = self._load(threads, self._instances[threads])
            self._row = random_row(self._loaded[threads].config, self._shapes)
        return self._loaded[threads]

    def _load(self, threads: int, instances: int) -> LoadedVersion:
        config = copy_of(self._candidate.config)
        if not config.instance_group:
            config.instance_group.add()
        config.instance_group[0].count = instances
        if threads:
            config.parameters[THREADS].string_value = str(threads)
        return load_version(replace(self._candidate, config=config), self._version, self._settings, self._gpus)


def _fixed_threads(config: ModelConfig) -> int:
    """Of a model that has been loaded, so that the parameter is a number, if it is there and not empty."""
    return max(0, int(config.parameters[THREADS].string_value or 0)) if THREADS in config.parameters else 0


def run_together(instances: Sequence[Instance], batch: Batch, seconds: float) -> list[float]:
    """Run `batch` on every instance from a thread of its own, once to warm up and then for `seconds`, three times at
    least. The seconds each run took, in no order. Raises DespinaError. After an interrupt no instance runs any more.
    """
    company = _Company(len(instances), batch, seconds)
    # An interrupted `join` of a thread takes it for ended up to CPython 3.12; to leave a pool waits for its threads.
    with ThreadPoolExecutor(len(instances)) as threads:
        try:
            for working in [threads.submit(company.work, instance) for instance in instances]:
                working.result()
        except BackendError as error:
            reason = f"a batch of {batch.rows} random rows failed: {error.message}"
            raise BACKEND_ERRORS[error.code](reason) from None
        except BaseException:
            company.stop()
            raise
    return company.taken


class _Company:
    """Instances that start to count together. One that is done goes on until all are, uncounted, so that every counted
    run had the same company; `taken` are the seconds of those."""

    def __init__(self, size: int, batch: Batch, seconds: float) -> None:
        self.taken: list[float] = []
        self._size = size
        self._batch = batch
        self._seconds = seconds
        self._start = Barrier(size)
        self._done: list[Instance] = []
        self._stopped = Event()

    def work(self, instance: Instance) -> None:
        """The whole work of one of them. Raises BackendError."""
        try:
            instance.execute(self._batch)
            self._start.wait()
            self.taken.extend(self._counted(instance))
            self._done.append(instance)
            while len(self._done) < self._size and not self._stopped.is_set():
                instance.execute(self._batch)
        except BrokenBarrierError:
            pass  # somebody else failed before the start
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Whoever runs ends after that run."""
        self._stopped.set()
        self._start.abort()

    def _counted(self, instance: Instance) -> list[float]:
        taken: list[float] = []
        deadline = time.perf_counter() + self._seconds
        while not self._stopped.is_set() and (len(taken) < _LEAST_RUNS or time.perf_counter() < deadline):
            begin = time.perf_counter()
            instance.execute(self._batch)
            taken.append(time.perf_counter() - begin)
        return taken
