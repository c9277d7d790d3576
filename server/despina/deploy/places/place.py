"""What can be done with a service, wherever it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from despina.deploy.entry_script import InferenceSpec
from despina.deploy.gate.keys import Keys
from despina.deploy.record import ModelRecord
from despina.deploy.service import ServiceSpec, ServiceState

Say = Callable[[str], None]
"""Takes one line for the person who waits."""


def quiet(line: str) -> None:
    """Where nobody waits."""


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What a service is to become. `keys` where the service has some."""

    spec: ServiceSpec
    records: Sequence[ModelRecord]
    inference: InferenceSpec | None
    keys: Keys | None


class Place(Protocol):
    """One service in its place."""

    def deploy(self, new: NewGeneration, say: Say) -> None:
        """Brings it there and returns before it answers."""
        ...

    def wait(self, say: Say) -> ServiceState:
        """Returns when no deployment is under way."""
        ...

    def state(self) -> ServiceState: ...

    def log(self, lines: int) -> list[str]: ...

    def show_keys(self, keys: Keys) -> None:
        """Makes new keys valid."""
        ...

    def restart(self) -> None: ...

    def delete(self) -> None:
        """Returns when nothing of it runs any more."""
        ...
