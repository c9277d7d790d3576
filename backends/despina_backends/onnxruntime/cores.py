"""How many cores this process may use: ONNX Runtime counts the host's, whatever the container is allowed."""

import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Cores in the affinity mask, but no more than the cgroup quota pays for; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(cgroups, membership))]))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    yield from _quotas_v2(cgroups, membership)
    quota, period = _read(cgroups / "cpu/cpu.cfs_quota_us"), _read(cgroups / "cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        yield int(quota) / int(period)


def _quotas_v2(cgroups: Path, membership: Path) -> Iterator[float]:
    """Every group from ours up to the root limits us."""
    lines = _read(membership).splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group = cgroups / own
    while True:
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if quota.isdigit() and period:
            yield int(quota) / int(period)
        if group == cgroups or cgroups not in group.parents:
            return
        group = group.parent


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
