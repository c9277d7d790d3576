"""Warm-up of batch sizes: on a GPU the first batch of a size may cost a second, which no request should pay for.

cuDNN looks for its fastest algorithm once per shape, and memory is allocated for the largest one seen. So after the
warm-up of the configuration every GPU instance executes each batch size it is likely to see once. The parameter
`warmup_batch_sizes` of the configuration says which: `all` (1, the preferred sizes and max_batch_size; the default on
GPUs), `none` (the default on the CPU), or sizes like `1,8,32`. These executions are logged, and not in the statistics,
which know only what the configuration asks for.
"""

import logging
import time
from collections.abc import Sequence

from despina.config.datatypes import protocol_name
from despina.config.dims import model_dims
from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.warmup import Sample
from despina.protocol.datatypes import DATATYPES
from despina_backends.base import Array, BackendError, Device, Instance, zeros

PARAMETER = "warmup_batch_sizes"
_log = logging.getLogger(__name__)


def warmup_sizes(config: ModelConfig, device: Device) -> tuple[int, ...]:
    """The sizes for instances on `device`, ascending. Raises InvalidArgument for a value that is none of those."""
    text = config.parameters[PARAMETER].string_value.strip() if PARAMETER in config.parameters else ""
    wanted = text or ("all" if device.kind == "GPU" else "none")
    largest = max(1, config.max_batch_size)
    if wanted == "none":
        return ()
    if wanted == "all":
        return tuple(sorted({1, largest, *config.dynamic_batching.preferred_batch_size}))
    try:
        sizes = {int(size) for size in wanted.split(",")}
    except ValueError:
        sizes = {0}
    if min(sizes) < 1 or max(sizes) > largest:
        raise InvalidArgument(
            f"model '{config.name}': parameter '{PARAMETER}': expected all, none or sizes from 1 to {largest} "
            f"separated by commas, got '{text}'"
        )
    return tuple(sorted(sizes))


def size_samples(config: ModelConfig, sizes: Sequence[int], samples: Sequence[Sample]) -> list[Sample]:
    """A sample per size, of the configuration's first sample if it has one, else of zeros. None, and a line in the log,
    for inputs whose shapes nobody knows."""
    if not sizes:
        return []  # An input need not fit into memory to be declared.
    row = samples[0].inputs if samples else _zeros(config)
    if row is None:
        _log.info(
            "model '%s': batch sizes are not warmed up, because inputs have variable dimensions: "
            "model_warmup with a sample would say which",
            config.name,
        )
        return []
    most = config.max_batch_size
    return [Sample(f"batch of {size}", row, size if most else 1, most, 1) for size in sizes]


def run_sizes(name: str, samples: Sequence[Sample], instance: Instance) -> None:
    """Execute each sample on `instance` twice, and log the seconds of both: the second time is what requests will see.
    Blocks. A batch that fails is logged and nothing more: zeros may be nothing this model takes."""
    for sample in samples:
        try:
            first, second = _seconds(sample, instance), _seconds(sample, instance)
        except BackendError as error:
            _log.warning("model '%s': warm-up with a %s failed: %s", name, sample.name, error.message)
            continue
        _log.info("model '%s': %s took %.1f ms, then %.1f ms", name, sample.name, first * 1e3, second * 1e3)


def _seconds(sample: Sample, instance: Instance) -> float:
    start = time.perf_counter()
    instance.execute(sample.batch())
    return time.perf_counter() - start


def _zeros(config: ModelConfig) -> dict[str, Array] | None:
    """A request of one row, or None where a shape is not known. Optional inputs are left out."""
    batch = (1,) if config.max_batch_size > 0 else ()
    row: dict[str, Array] = {}
    for item in config.input:
        if item.optional:
            continue
        dims = model_dims(item)
        if -1 in dims:
            return None
        row[item.name] = zeros((*batch, *dims), DATATYPES[protocol_name(item.data_type)].dtype)
    return row
