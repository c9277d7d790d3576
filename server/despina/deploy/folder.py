"""The files of one service: what it should be, what it is, its keys, its log, its generations."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from despina.deploy.gate.keys import Keys
from despina.deploy.json_file import read_json, write_json
from despina.deploy.service import ServiceSpec, ServiceState, State
from despina.errors import AlreadyExists, NotFound

LARGEST_LOG_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class ServiceFolder:
    """`services/NAME/` of a home directory."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def log(self) -> Path:
        return self.path / "service.log"

    @property
    def exists(self) -> bool:
        return (self.path / "spec.json").exists()

    @property
    def has_generations(self) -> bool:
        """Whether it was deployed on this machine."""
        return (self.path / "generations").exists()

    def generation(self, number: int) -> Path:
        """The app root of one generation: models, and the copy of the source directory."""
        return self.path / "generations" / str(number)

    def read_spec(self) -> ServiceSpec:
        """Raises NotFound: it was deleted meanwhile. Raises Internal: the file is damaged. Without it nobody would find
        the processes of the service."""
        remedy = f"restore it, or end the service with `despina service delete -n {self.name}`"
        try:
            return read_json(self.path / "spec.json", ServiceSpec.from_json, remedy)
        except FileNotFoundError:
            raise NotFound(f"No service with name {self.name} found: it was deleted meanwhile") from None

    def write_spec(self, spec: ServiceSpec) -> None:
        write_json(self.path / "spec.json", spec.to_json(), 0o644)

    def read_state(self) -> ServiceState:
        try:
            return read_json(self.path / "state.json", ServiceState.from_json)
        except FileNotFoundError:  # there was none yet, or it was deleted with the service
            return ServiceState(State.UNKNOWN)

    def write_state(self, state: ServiceState) -> None:
        write_json(self.path / "state.json", state.to_json(), 0o644)

    def read_keys(self) -> Keys | None:
        try:
            return read_json(self.path / "keys.json", Keys.from_json)
        except FileNotFoundError:
            return None

    def write_keys(self, keys: Keys) -> None:
        write_json(self.path / "keys.json", keys.to_json(), 0o600)

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Held while somebody changes the service. Raises AlreadyExists: somebody else does."""
        with self._open_lock() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyExists(f"an operation on service {self.name} is running already") from None
            if not _is_at(file.fileno(), self.path / "operation.lock"):  # deleted between the two
                raise _deleting(self.name)
            yield

    def _open_lock(self) -> BinaryIO:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return (self.path / "operation.lock").open("ab")
        except (FileExistsError, FileNotFoundError):  # it was there for one of the two
            raise _deleting(self.name) from None

    def remove(self) -> None:
        """Removes it under the lock of its operations. The name is free before the first file goes: whoever takes it
        gets a folder and a lock of his own."""
        try:
            gone = self._make_place_to_go()
        except OSError:  # a full disk has no room for a folder, and this is how people make room
            shutil.rmtree(self.path / "generations", ignore_errors=True)
            gone = self._make_place_to_go()
        with _locked(gone):
            os.rename(self.path, gone / self.name)
            shutil.rmtree(gone)

    def _make_place_to_go(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.name}."))

    def rotate_log(self, largest_bytes: int = LARGEST_LOG_BYTES) -> bool:
        """Moves the end of a log that has grown too large to `service.log.1`; says whether it did.

        Many processes write to the file, none of which would open another one; so it is copied and emptied. They
        append, so they go on at its beginning. What is written between the two steps is lost. Only the end, because
        whoever calls this waits: an event loop for 36 ms here, where the whole of a log of 2 GB took 3.7 s.
        """
        if not self.log.exists() or self.log.stat().st_size <= largest_bytes:
            return False
        with self.log.open("rb") as log, (self.path / "service.log.1").open("wb") as kept:
            log.seek(-largest_bytes, os.SEEK_END)
            shutil.copyfileobj(log, kept, 1 << 20)
        os.truncate(self.log, 0)
        return True

    def tail(self, lines: int, offset: int = 0) -> list[str]:
        """The last lines of the log, of those after a byte offset."""
        if lines <= 0 or not self.log.exists():
            return []
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            # Lines are rarely longer than 1 kB; a log may have grown for months.
            size, found = lines * 1024, b""
            while found.count(b"\n") <= lines:
                begin = max(offset, end - size)
                file.seek(begin)
                found = file.read()
                if begin == offset:
                    break
                size *= 4
            return found.decode(errors="replace").splitlines()[-lines:]


def remove_remains(services: Path) -> None:
    """Removes what is left of services whose removal was interrupted: there may be keys in it."""
    for service in services.glob(".*/*/"):
        gone = service.parent
        if gone.name.startswith(f".{service.name}."):
            # Whoever removes it right now has it locked.
            with suppress(OSError), _locked(gone, fcntl.LOCK_NB):
                shutil.rmtree(gone)


@contextmanager
def _locked(directory: Path, how: int = 0) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)


def _deleting(name: str) -> AlreadyExists:
    return AlreadyExists(f"service {name} was just being deleted; try again")


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
