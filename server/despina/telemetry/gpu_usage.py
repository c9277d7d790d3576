"""Utilization, memory, power and energy of the GPUs this process may use."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from despina.telemetry.nvml import CtypesNvml, GpuReading, Nvml, NvmlError


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU; `energy_mj` counts from the start of the server. None where the GPU does not tell."""

    uuid: str
    reading: GpuReading
    energy_mj: int | None


class GpuUsage:
    """Reads the GPUs no more often than every `interval_s` seconds, and only when asked.

    `uuids` maps the device ids of the process (positions in CUDA_VISIBLE_DEVICES) to the UUIDs of the GPUs.
    """

    def __init__(
        self,
        nvml: Nvml,
        interval_s: float,
        visible: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nvml = nvml
        self._interval_s = interval_s
        self._clock = clock
        all_uuids = nvml.uuids()
        self._indices = visible_indices(visible, all_uuids)
        self.uuids: Mapping[int, str] = {device: all_uuids[index] for device, index in enumerate(self._indices)}
        self._energy_at_start = [nvml.read(index).energy_mj for index in self._indices]
        self._at: float | None = None
        self._samples: tuple[GpuSample, ...] = ()

    def sample(self) -> tuple[GpuSample, ...]:
        """One sample per visible GPU. May block for milliseconds: not for the event loop."""
        now = self._clock()
        if self._at is None or now - self._at >= self._interval_s:
            self._samples = tuple(self._read(device) for device in self.uuids)
            self._at = now
        return self._samples

    def _read(self, device: int) -> GpuSample:
        reading = self._nvml.read(self._indices[device])
        start = self._energy_at_start[device]
        energy = None if reading.energy_mj is None or start is None else reading.energy_mj - start
        return GpuSample(self.uuids[device], reading, energy)


def visible_indices(visible: str | None, uuids: Sequence[str]) -> list[int]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, read as CUDA does: numbers or UUID prefixes, up to a bad one."""
    if visible is None:
        return list(range(len(uuids)))
    indices: list[int] = []
    for entry in visible.split(","):
        index = _index(entry.strip(), uuids)
        if index is None or index in indices:
            break
        indices.append(index)
    return indices


def _index(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isdecimal():
        return int(entry) if int(entry) < len(uuids) else None
    return next((index for index, uuid in enumerate(uuids) if entry and uuid.startswith(entry)), None)


def open_gpus(interval_s: float) -> GpuUsage | None:
    """The GPUs of this machine, or None where there is no driver or no GPU."""
    try:
        gpus = GpuUsage(CtypesNvml(), interval_s, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except NvmlError:
        return None
    return gpus if gpus.uuids else None
