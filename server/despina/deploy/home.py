"""The directory that holds the registry, the stored files and the services."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from despina.errors import InvalidArgument, NotFound

VARIABLE = "DESPINA_HOME"
FOLDER = ".despina"


@dataclass(frozen=True, slots=True)
class Home:
    """One home directory; nothing is created until something is stored."""

    directory: Path

    @property
    def name(self) -> str:
        """What users call the workspace: the folder that holds `.despina/`, or that `$DESPINA_HOME` is."""
        return self.directory.parent.name if self.directory.name == FOLDER else self.directory.name

    @property
    def database(self) -> Path:
        return self.directory / "registry.db"

    @property
    def blobs(self) -> Path:
        return self.directory / "blobs"

    @property
    def services(self) -> Path:
        return self.directory / "services"


def find_home(environment: Mapping[str, str], start: Path, *, create: bool = False) -> Home:
    """The home of `environment["DESPINA_HOME"]`, else the nearest `.despina/` in `start` or a folder above it.

    With `create` it may be one that does not exist, with neither of them `.despina/` in `start`: whoever stores
    something makes the folder, once it is known that there is something to store. Raises NotFound: there is none and
    `create` is false. Raises InvalidArgument: `DESPINA_HOME` is not a folder, or the home of nobody.
    """
    given = environment.get(VARIABLE)
    if given:
        try:
            directory = Path(given).expanduser().absolute()
        except RuntimeError:  # the home of a user who does not exist
            raise InvalidArgument(f"{VARIABLE}: there is no user of the name in {given}; correct it") from None
        if directory.exists() and not directory.is_dir():
            raise InvalidArgument(f"{VARIABLE}: expected a folder, and {directory} is a file")
        if not create and not directory.exists():
            raise NotFound(
                f"{VARIABLE}: {directory} does not exist; correct it, or make the folder "
                "(`despina model register` does)"
            )
        return Home(directory)
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return Home(folder / FOLDER)
    if not create:
        raise NotFound(
            f"no {FOLDER} folder in {start} or above it; "
            f"`despina model register` makes one, or set {VARIABLE} to a folder"
        )
    return Home(start / FOLDER)
