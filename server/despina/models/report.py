"""What became of the models at start."""

import weakref
from dataclasses import dataclass
from typing import Generic

from despina.models.states import M, State


@dataclass(frozen=True, slots=True)
class StartRow(Generic[M]):
    """One line of the table that is printed at start. `version` is None for a model whose configuration could not be
    read. `reference` leads to the model while it serves; a report that is kept must not keep unloaded models alive."""

    name: str
    version: int | None
    state: State
    reason: str
    reference: "weakref.ref[M] | None" = None

    @property
    def model(self) -> M | None:
        """The model, when it is ready."""
        return self.reference() if self.reference else None


@dataclass(frozen=True, slots=True)
class StartReport(Generic[M]):
    """Rows by name and version. `failures` are (name, message) of everything that did not load."""

    rows: tuple[StartRow[M], ...]
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def succeeded(self) -> bool:
        """Everything asked for is ready; if not, the server says `failed to load all models` (config §1.6)."""
        return not self.failures
