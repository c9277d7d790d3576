"""How long a batch may take that runs on the event loop's thread.

Where a thread or a process can run it at the same time on a core of its own, only what would take longer to hand over.
On a core or two, which the clients of a small server often need as well, little is gained by running at the same time
until batches are so long that a busy loop keeps everybody waiting: each hand-over wakes somebody up, and batches are
smaller because the requests are in two places.
"""

HAND_OVER_NS = 180_000
FEW_CORES = 2
FEW_CORES_NS = 420_000
"""Shared by the instances of a model: each of them could run as long."""


def inline_limit_ns(cores: int, instances: int) -> int:
    """The limit for each of so many instances of a model."""
    return HAND_OVER_NS if cores > FEW_CORES else max(HAND_OVER_NS, FEW_CORES_NS // max(1, instances))
