"""CPU time of processes and of the machine, read from /proc (Linux only)."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def parent_and_cpu(stat: str) -> tuple[int, float]:
    """Parent pid and CPU seconds, threads and reaped children included, from the text of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15]) * TICK


def tree_cpu_s(pid: int) -> float:
    """CPU seconds used so far by a process and all its living and reaped descendants."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)], used[int(entry.name)] = parent_and_cpu((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return sum(cpu for child, cpu in used.items() if _descends(child, pid, parents))


def process_cpu_s(pid: int) -> float:
    """CPU seconds used so far by all threads of a process, without its children."""
    return own_cpu(Path(f"/proc/{pid}/stat").read_text())


def own_cpu(stat: str) -> float:
    """CPU seconds without children, from the text of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:13]) * TICK


def _descends(child: int, ancestor: int, parents: dict[int, int]) -> bool:
    while child > 1:
        if child == ancestor:
            return True
        child = parents.get(child, 0)
    return False


def resident_mib(pid: int) -> float:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class MachineCpu:
    """CPU seconds of all cores together since boot. `stolen` is what the hypervisor gave to others."""

    busy: float
    stolen: float


def machine_cpu() -> MachineCpu:
    return read_machine_cpu(Path("/proc/stat").read_text())


def read_machine_cpu(stat: str) -> MachineCpu:
    """From the text of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ..."""
    fields = [int(field) for field in stat.splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return MachineCpu((user + nice + system + irq + softirq) * TICK, steal * TICK)


def others(before: MachineCpu, after: MachineCpu, ours_s: float, seconds: float) -> float:
    """Cores kept busy by others, on average; ticks are coarse, so never below 0."""
    return max(0.0, (after.busy - before.busy + after.stolen - before.stolen - ours_s) / seconds)


def children_cpu_s() -> float:
    """CPU seconds of the children waited for so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
