"""How the execution of a batch ended."""

from collections.abc import Callable
from dataclasses import dataclass

from despina.errors import DespinaError
from despina_backends.base import Execution


@dataclass(slots=True)
class Outcome:
    """With `execution` or with `error`. `started_ns` is when it began.

    There is one per batch: frozen, each would take 0.2 µs more.
    """

    started_ns: int
    execution: Execution | None = None
    error: DespinaError | None = None


Done = Callable[[Outcome], None]
