"""How much memory this process may use: the machine's, or less where a container may not have all of it."""

import os
from collections.abc import Iterator
from pathlib import Path

from despina_backends.cgroups import MEMBERSHIP, ROOT, limits, own_groups


def usable_memory(cgroups: Path = ROOT, membership: Path = MEMBERSHIP) -> int:
    """Bytes of memory in the machine, but no more than any cgroup allows that this process is in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(int(limit) for limit in _limits(cgroups, membership) if limit.isdigit())])


def _limits(cgroups: Path, membership: Path) -> Iterator[str]:
    groups = own_groups(membership)
    yield from limits(cgroups, groups.get("", ""), "memory.max")
    yield from limits(cgroups / "memory", groups.get("memory", ""), "memory.limit_in_bytes")
