"""The model under measurement: loaded once per number of threads, run on as many instances at a time as asked for."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from despina.config.names import ENSEMBLE
from despina.config.proto import ModelConfig, copy_of, model_config_pb2
from despina.errors import InvalidArgument
from despina.models.candidate import Candidate
from despina.models.loader import LoadedVersion, load_version
from despina.settings import Settings
from despina.tuning.choose import THREADS
from despina.tuning.inputs import Shapes, make_batch, random_row
from despina.tuning.measure import Arrangement, Point
from despina.tuning.run_together import run_together
from despina_backends.base import Array


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
class ModelTraits:
    """What the first load tells: whether the model batches, how many threads its configuration fixes (0: none), on
    which kind of device it runs (ModelInstanceGroup.Kind) and how many seconds an instance takes to load."""

    batches: bool
    threads: int
    kind: int
    load_s: float

    @property
    def on_gpu(self) -> bool:
        return bool(self.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU)


class ModelUnderTest:
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
        self._load_s = 0.0

    def inspect(self) -> ModelTraits:
        """Load one instance, look at it, and let it go."""
        begin = time.perf_counter()
        loaded = self._load(0, 1)
        self._load_s = time.perf_counter() - begin
        try:
            random_row(loaded.config, self._shapes)
            threads = _fixed_threads(self._candidate.config)
            kind = loaded.config.instance_group[0].kind
            return ModelTraits(loaded.config.max_batch_size > 0, threads, kind, self._load_s)
        finally:
            loaded.close()

    def plan_instances(self, arrangements: Iterable[Arrangement]) -> None:
        """So many are loaded, by number of threads, when a point first needs them."""
        for one in arrangements:
            self._instances[one.threads] = max(one.instances, self._instances.get(one.threads, 0))

    def loading(self, arrangement: Arrangement) -> float:
        """Seconds that the first run of an arrangement will take longer, because its instances must be loaded."""
        return 0.0 if arrangement.threads in self._loaded else self._load_s * self._instances[arrangement.threads]

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
