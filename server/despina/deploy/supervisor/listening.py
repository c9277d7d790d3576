"""Who has a port, and what descends from a process: read from /proc, where there is one."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
LISTENS = "0A"


def has_port(pid: int, port: int) -> bool:
    """Whether the process or a descendant of it listens on this port (IPv4). True where that cannot be found out."""
    table = PROC / "net" / "tcp"
    if not table.exists():
        return True
    wanted = set(_listeners(table.read_text(), port))
    return any(wanted.intersection(_sockets(one)) for one in tree(pid))


def _listeners(table: str, port: int) -> Iterator[str]:
    """How the descriptors of listening sockets read."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
            yield f"socket:[{fields[9]}]"


def _sockets(pid: int) -> Iterator[str]:
    try:
        descriptors = os.listdir(PROC / str(pid) / "fd")
    except OSError:  # it ended
        return
    for descriptor in descriptors:
        try:
            yield os.readlink(PROC / str(pid) / "fd" / descriptor)
        except OSError:
            continue


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants, whichever of its threads started them."""
    yield pid
    try:
        threads = os.listdir(PROC / str(pid) / "task")
    except OSError:  # it ended
        return
    for thread in threads:
        with suppress(OSError):  # it ended
            for child in (PROC / str(pid) / "task" / thread / "children").read_text().split():
                yield from tree(int(child))
