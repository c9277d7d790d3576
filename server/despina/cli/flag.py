"""One flag of the command line, as the table in `flags` lists it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """`metavar` is what `--help` shows for the value, "" for a flag that takes none. `repeats`: every occurrence
    counts, otherwise the last one does. At most one of `inert` and `refused` is set: why the flag has no effect
    here (a warning when it asks for something else than `default`), or why a server asked for it does not start.
    The help says that instead of `text`."""

    name: str
    section: str
    metavar: str
    parse: Callable[[str], object]
    text: str = ""
    default: object = None
    repeats: bool = False
    inert: str = ""
    refused: str = ""

    @property
    def own(self) -> bool:
        """Not one of tritonserver's: it gives way where an abbreviation could mean either."""
        return self.section == "Despina"

    @property
    def field(self) -> str:
        """Name of the field of `Settings`, for flags that are one."""
        return self.name.replace("-", "_")

    @property
    def boolean(self) -> bool:
        return self.metavar == "<boolean>"
