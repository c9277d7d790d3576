"""Processes for the instances of a model version; when one is started is the scheduler's choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Semaphore
from typing import TYPE_CHECKING

from despina.errors import Unavailable
from despina.models.batch_layout import BatchLayout
from despina.models.loader import LoadedVersion, PlacedInstance, declared
from despina.models.schedulers import SchedulingOptions
from despina.repository.files import version_files
from despina.scheduling.own_process import ProcessOffer
from despina_backends.cores import usable_cores
from despina_backends.process.places import batch_tensors
from despina_backends.process.recipe import Recipe

if TYPE_CHECKING:
    from despina.scheduling.process_runs import InstanceProcess


MAX_FILE_BYTES = 256 * 1024 * 1024
"""A process has the weights once more. A model with large tables can be short, too, and must not fill the memory."""


def spare_cores(http_workers: int) -> int:
    """How many processes for instances a server has room for: the loop's thread wants a core, too, and so do front ends
    where there is more than one process for HTTP."""
    return max(0, usable_cores() - 1 - (http_workers if http_workers > 1 else 0))


def process_offer(loaded: LoadedVersion, placed: PlacedInstance, scheduling: SchedulingOptions) -> ProcessOffer | None:
    """None for an instance that cannot have a process, or must not: with sequences, limited rates or a layout of its
    own, on a GPU, with large files, or with tensors of unknown size."""
    config = loaded.config
    if scheduling.processes is None or loaded.load_options is None or scheduling.rate_limiter is not None:
        return None
    if config.HasField("sequence_batching") or placed.device.kind != "CPU" or loaded.layout != BatchLayout():
        return None
    if sum(size for _, _, size, _ in loaded.files) > MAX_FILE_BYTES:
        return None
    tensors = batch_tensors(
        [declared(config, tensor, tensor.optional) for tensor in config.input],
        [declared(config, tensor) for tensor in config.output],
        config.max_batch_size,
    )
    if tensors is None:
        return None
    options = replace(loaded.load_options, cpu_instances_asked=True, spare_cores=1)
    recipe = Recipe(config.backend, options, placed.device, tensors)
    return Offer(loaded, recipe, scheduling.processes)


@dataclass(frozen=True, slots=True)
class Offer:
    """A process like one instance of a loaded version, within what `room` allows."""

    loaded: LoadedVersion
    recipe: Recipe
    room: Semaphore

    def take(self) -> bool:
        return self.room.acquire(blocking=False)

    def start(self) -> InstanceProcess:
        """Raises Unavailable when the files have changed since the version was loaded; BackendError, OSError."""
        from despina_backends.process.parent import start_instance  # late: most servers never come here

        process = start_instance(self.recipe)
        if version_files(self.loaded.directory, self.loaded.version) != self.loaded.files:
            process.close()
            process.reap()
            raise Unavailable(f"the files of version {self.loaded.version} have changed since they were loaded")
        return process

    def give_back(self) -> None:
        self.room.release()
