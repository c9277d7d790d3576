"""What an ensemble and the model of one of its steps are to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from despina.scheduling.pending import Pending
from despina_backends.base import Array

if TYPE_CHECKING:
    from despina.protocol.messages import Parameter
    from despina.telemetry.tracing.trace import Trace


@dataclass(slots=True)
class StepRequest:
    """What an ensemble asks of a step's model. `inputs` have the shapes that clients would send; the rest is that of
    the ensemble's own request, and `trace` is where the step's part of it goes. `count` is how many requests of clients
    this stands for, with equally many rows each; if more than one, `rows` are those of all."""

    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    id: str = ""
    priority: int = 0
    timeout_us: int = 0
    correlation_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    trace: Trace | None = None
    count: int = 1
    rows: int = 0


class StepModel(Protocol):
    """A model as an ensemble sees it."""

    def submit_step(self, request: StepRequest, on_done: Callable[[Pending], None]) -> Pending:
        """Check and schedule an internal request. Raises DespinaError when it does not fit or cannot be taken."""
        ...

    def client_results(self, pending: Pending) -> Mapping[str, Array]:
        """The results of a successful request in the shapes that clients see."""
        ...

    def request_gone(self, pending: Pending) -> None:
        """The answer of a submitted request is not wanted any more."""
        ...

    @property
    def step_rows(self) -> int:
        """So many rows of requests of equal shapes may come as one, 0 for none."""
        ...

    @property
    def origin(self) -> object:
        """What its answers depend on besides their inputs: equal as long as the same loaded versions make them."""
        ...

    @property
    def labels(self) -> Mapping[str, list[str]]:
        """Class names by output."""
        ...


FindModel = Callable[[str, int | None], StepModel]
"""The READY model of a name, in a version or the latest one for None. Raises NotFound, Unavailable."""
