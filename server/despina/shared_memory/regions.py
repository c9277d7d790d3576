"""The registered regions: one namespace for system and CUDA shared memory. Lives on the event loop's thread."""

from collections.abc import Callable
from typing import Literal
from urllib.parse import quote
from weakref import WeakValueDictionary

from despina.errors import AlreadyExists, InvalidArgument, NotFound
from despina.shared_memory.cuda import CudaOpener, check_handle
from despina.shared_memory.system import check_key, open_system
from despina.shared_memory.window import Memory, Window

Kind = Literal["system", "CUDA"]

MAX_UINT64 = (1 << 64) - 1

_MOST_QUOTED = 4096
"""Characters of a name. To quote as many as a body can hold would take seconds."""


class Regions:
    """Regions by name. What is unregistered stays as long as a request has a window of it: other requests find it and
    its name is taken. With the last of these windows it is closed and gone."""

    def __init__(
        self,
        open_system: Callable[[str, str, int, int], Memory] = open_system,
        open_cuda: Callable[[str, bytes, int, int], Memory] | None = None,
    ) -> None:
        self._open_system = open_system
        self._open_cuda = open_cuda or CudaOpener()
        self._regions: dict[str, tuple[Kind, Memory]] = {}
        self._leaving: dict[Kind, WeakValueDictionary[str, Memory]] = {
            "system": WeakValueDictionary(),
            "CUDA": WeakValueDictionary(),
        }

    def register_system(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open `byte_size` bytes from `offset` of segment `key`. Raises AlreadyExists, InvalidArgument, Internal."""
        check_key(name, key)
        self._check_free(name)
        self._regions[name] = ("system", self._open_system(name, key, offset, byte_size))

    def register_cuda(self, name: str, raw_handle: bytes, device_id: int, byte_size: int) -> None:
        """Open memory of a GPU by its IPC handle (64 bytes). Raises AlreadyExists, InvalidArgument."""
        check_handle(raw_handle)
        self._check_free(name)
        self._regions[name] = ("CUDA", self._open_cuda(name, raw_handle, device_id, byte_size))

    def _check_free(self, name: str) -> None:
        if self._region(name) is not None:
            raise AlreadyExists(f"shared memory region '{name}' already in manager")

    def status(self, kind: Kind, name: str | None = None) -> list[dict[str, int | str]]:
        """What is registered, sorted by name; only region `name` when given. Raises NotFound."""
        if name is None:
            named = {name: memory for name, (found, memory) in self._regions.items() if found == kind}
            named.update(self._leaving[kind].items())
        else:
            named = {name: self._of_kind(kind, name)}
        return [{"name": name, **named[name].description} for name in sorted(named)]

    def _region(self, name: str) -> tuple[Kind, Memory] | None:
        region = self._regions.get(name)
        if region is not None:
            return region
        for kind, leaving in self._leaving.items():
            memory = leaving.get(name)
            if memory is not None:
                return kind, memory
        return None

    def _of_kind(self, kind: Kind, name: str) -> Memory:
        region = self._region(name)
        if region is None:
            spelled = "cuda" if kind == "CUDA" else kind
            raise NotFound(f"Unable to find {spelled} shared memory region: '{name}'")
        found, memory = region
        if found != kind:
            raise NotFound(
                f"The region named '{name}' is registered as {found} shared memory, not {kind} shared memory"
            )
        return memory

    def unregister(self, kind: Kind, name: str | None = None) -> None:
        """Forget region `name`, or every region of the kind. Not an error when there is none."""
        for candidate in [name] if name is not None else list(self._regions):
            if candidate in self._regions and self._regions[candidate][0] == kind:
                self._leaving[kind][candidate] = self._regions.pop(candidate)[1]

    def find(self, name: str, offset: int, byte_size: int) -> Window:
        """A window of region `name`. Raises NotFound, or InvalidArgument when it is not inside (protocol §2.5).

        Clients register "my region" as "my%20region", because they quote it for the path, and then ask for the former,
        which the real server does not know."""
        region = self._region(name)
        if region is None and len(name) <= _MOST_QUOTED:
            region = self._region(quote(name, safe="", errors="replace"))
        if region is None:
            raise NotFound(f"Unable to find shared memory region: '{name}'")
        memory = region[1]
        if offset >= memory.byte_size:
            raise InvalidArgument(f"Invalid offset for shared memory region: '{name}'")
        if offset + byte_size > MAX_UINT64:
            raise InvalidArgument(
                f"Integer overflow detected: byte_size ({byte_size}) + offset ({offset}) exceeds maximum value "
                f"({MAX_UINT64}) for region '{name}'"
            )
        # The real server looks for the last byte of the window, and finds none in an empty one at the beginning.
        if not 0 < offset + byte_size <= memory.byte_size:
            raise InvalidArgument(f"Invalid offset + byte size for shared memory region: '{name}'")
        return Window(memory, name, offset, byte_size)
