"""What the control groups say that this process is in; see cgroups(7)."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def own_groups(membership: Path) -> dict[str, str]:
    """Our group by controller of version one, and by "" that of version two."""
    groups: dict[str, str] = {}
    for line in read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        groups |= dict.fromkeys(controllers.split(","), group.removeprefix("/"))
    return groups


def limits(root: Path, own: str, name: str) -> Iterator[str]:
    """The contents of the file `name` in every group from ours up to the root: each of them limits us. Inside a
    container ours may not be there by its name."""
    group = root / own
    while True:
        yield read(group / name)
        if group == root or root not in group.parents:
            return
        group = group.parent


def read(path: Path) -> str:
    """Empty where there is no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
