"""Processor and memory of the whole machine, read from /proc."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CpuSample:
    """`utilization` in [0, 1] since the sample before; memory in bytes, used = total - available."""

    utilization: float
    memory_total: int
    memory_used: int


@dataclass(frozen=True, slots=True)
class _Ticks:
    total: int
    idle: int


class CpuUsage:
    """Samples no more often than every `interval_s` seconds, and only when asked: nobody looks, nothing runs.

    On a system without /proc there is never a sample.
    """

    def __init__(
        self,
        interval_s: float,
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = interval_s
        self._proc = proc
        self._clock = clock
        self._ticks = self._read_ticks()
        self._at = clock()
        self._sample: CpuSample | None = None

    def sample(self) -> CpuSample | None:
        now = self._clock()
        if self._ticks is None or (self._sample is not None and now - self._at < self._interval_s):
            return self._sample
        ticks = self._read_ticks()
        memory = self._read_memory()
        if ticks is None or memory is None:
            return self._sample
        self._sample = CpuSample(_utilization(self._ticks, ticks), *memory)
        self._ticks, self._at = ticks, now
        return self._sample

    def _read_ticks(self) -> _Ticks | None:
        """The first line of /proc/stat; the two guest columns are contained in user and nice."""
        try:
            fields = (self._proc / "stat").read_text().split("\n", 1)[0].split()
            user, nice, system, idle, iowait, irq, softirq, steal = (int(field) for field in fields[1:9])
        except (OSError, ValueError):
            return None
        waiting = idle + iowait
        return _Ticks(user + nice + system + irq + softirq + steal + waiting, waiting)

    def _read_memory(self) -> tuple[int, int] | None:
        try:
            lines = (self._proc / "meminfo").read_text().splitlines()
            kib = {
                name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.strip()
            }
            total, available = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
        except (OSError, ValueError, KeyError):
            return None
        return total, total - available


def _utilization(before: _Ticks, after: _Ticks) -> float:
    total = after.total - before.total
    return 1.0 - (after.idle - before.idle) / total if total > 0 else 0.0
