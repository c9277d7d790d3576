"""How many cores this process may use: ONNX Runtime counts the host's, whatever the container is allowed."""

import os
from collections.abc import Iterator
from pathlib import Path

from despina_backends.cgroups import MEMBERSHIP, ROOT, limits, own_groups


def usable_cores(cgroups: Path = ROOT, membership: Path = MEMBERSHIP) -> int:
    """Cores in the affinity mask, but no more than the cgroup quota pays for; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(cgroups, membership))]))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    groups = own_groups(membership)
    for limit in limits(cgroups, groups.get("", ""), "cpu.max"):
        quota, _, period = limit.partition(" ")
        if quota.isdigit() and period:
            yield int(quota) / int(period)
    first, own = cgroups / "cpu", groups.get("cpu", "")
    for quota, period in zip(
        limits(first, own, "cpu.cfs_quota_us"), limits(first, own, "cpu.cfs_period_us"), strict=True
    ):
        if quota and period and int(quota) > 0:
            yield int(quota) / int(period)
