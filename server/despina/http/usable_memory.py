"""How much memory this process may use: the machine's, or less where a container may not have all of it."""

import os
from collections.abc import Iterator
from pathlib import Path


def usable_memory(cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes of memory in the machine, but no more than any cgroup allows that this process is in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(cgroups, membership)])


def _limits(cgroups: Path, membership: Path) -> Iterator[int]:
    groups = dict(_groups(membership))
    yield from _up(cgroups, groups.get("", ""), "memory.max")
    yield from _up(cgroups / "memory", groups.get("memory", ""), "memory.limit_in_bytes")


def _groups(membership: Path) -> Iterator[tuple[str, str]]:
    """Each controller of version one with our group, and "" with that of version two."""
    for line in _read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, group.removeprefix("/")


def _up(root: Path, own: str, name: str) -> Iterator[int]:
    """The limits of every group from ours up to the root; inside a container ours may not be there by its name."""
    group = root / own
    while True:
        limit = _read(group / name)
        if limit.isdigit():
            yield int(limit)
        if group == root or root not in group.parents:
            return
        group = group.parent


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
