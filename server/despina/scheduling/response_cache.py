"""The response cache: answers remembered by what was asked, least recently used first out (config §6.4).

One cache serves all models of the server that ask for it. It belongs to the event loop; only the hashing of large
inputs happens elsewhere. A model version has a shelf of its own, because it is forgotten at once, and there may be
millions of answers.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count

import numpy as np

from despina.errors import InvalidArgument
from despina_backends.base import Array

Key = tuple[int, bytes]
"""Whose answer it is (`ResponseCache.scope`), and the digest of the inputs."""

ENTRY_BYTES = 448
OUTPUT_BYTES = 160
ELEMENT_BYTES = 33
"""What an entry, each output in it, and each text in that costs besides the values (measured). For a classifier that is
many times what the values take."""

SMALL_BYTES = 4096
"""Up to so many, a copy of a tensor takes less than a view of its bytes."""

MOST_AT_ONCE = 1000
"""So many answers may be freed on the event loop."""


def digest(inputs: Mapping[str, Array]) -> bytes:
    """256 bits over names, dtypes, shapes and contents of the inputs, whatever their order."""
    state = blake2b(digest_size=32)
    for name, array in sorted(inputs.items()):
        state.update(f"{name}\0{array.dtype.str}{array.shape}".encode())
        if array.dtype.hasobject:
            for element in _elements(array):
                state.update(len(element).to_bytes(8, "little"))
                state.update(element)
        elif array.nbytes <= SMALL_BYTES:
            state.update(array.tobytes())
        else:
            state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.digest()


def _elements(array: Array) -> list[bytes]:
    """The elements of a BYTES tensor."""
    elements: list[bytes] = array.reshape(-1).tolist()
    return elements


@dataclass(slots=True)
class _Entry:
    """`last_use` is larger than that of all that were used before."""

    results: Mapping[str, Array]
    byte_size: int
    last_use: int


class _Shelf(OrderedDict[bytes, _Entry]):
    """The answers of one scope by their digests, the least recently used first, and their bytes. `noted` is a use that
    no answer here was last used before."""

    used = 0
    noted = 0


class ResponseCache:
    """At most `capacity` bytes of answers. `used` counts bytes, the times are nanoseconds. `hashing` is where large
    inputs are digested: by default on a thread, which starts with the first of them."""

    def __init__(self, capacity: int, hashing: Executor | None = None) -> None:
        self.capacity = capacity
        self.hashing: Executor = hashing or ThreadPoolExecutor(1, thread_name_prefix="despina-cache")
        self.used = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self.lookup_ns = 0
        self.insertion_ns = 0
        self._shelves: dict[int, _Shelf] = {}
        self._noted: list[tuple[int, int]] = []
        self._scopes = count(1)
        self._uses = count()

    def __len__(self) -> int:
        return sum(map(len, self._shelves.values()))

    def scope(self) -> int:
        """A number for one loaded model version: another one, or the same loaded again, finds nothing of it."""
        return next(self._scopes)

    def find(self, key: Key, outputs: Iterable[str]) -> dict[str, Array] | None:
        """The wanted `outputs`, or None unless all of them are known."""
        scope, digested = key
        shelf = self._shelves.get(scope)
        entry = shelf.get(digested) if shelf is not None else None
        if shelf is None or entry is None:
            return None
        try:
            found = {name: entry.results[name] for name in outputs}
        except KeyError:
            return None
        shelf.move_to_end(digested)
        entry.last_use = next(self._uses)
        return found

    def insert(self, key: Key, results: Mapping[str, Array]) -> bool:
        """Remember `results`, besides other outputs known for the same inputs. False when they are larger than the
        cache, and so not kept. The arrays are copied: they may be views of much larger ones."""
        scope, digested = key
        entry = self._shelves[scope].get(digested) if scope in self._shelves else None
        known = {} if entry is None else entry.results
        new = {name: array for name, array in results.items() if name not in known}
        byte_size = sum(map(_byte_size, new.values())) + (ENTRY_BYTES if entry is None else entry.byte_size)
        if not new:
            return True
        if byte_size > self.capacity:
            return False
        if entry is not None:
            self._remove(scope, digested)
        while self.used + byte_size > self.capacity:
            self._remove_oldest()
        shelf = self._shelves.setdefault(scope, _Shelf())
        kept = {**known, **{name: _frozen(array) for name, array in new.items()}}
        shelf[digested] = _Entry(kept, byte_size, next(self._uses))
        if len(shelf) == 1:
            self._note(scope, shelf)
        shelf.used += byte_size
        self.used += byte_size
        return True

    def forget(self, scope: int) -> None:
        """Drop everything of one model version."""
        shelf = self._shelves.pop(scope, None)
        if shelf is not None:
            self.used -= shelf.used
            if len(shelf) > MOST_AT_ONCE:
                self.hashing.submit(_free, shelf)

    def _note(self, scope: int, shelf: _Shelf) -> None:
        shelf.noted = next(iter(shelf.values())).last_use
        heappush(self._noted, (shelf.noted, scope))

    def _remove_oldest(self) -> None:
        """The shelf that was noted first has it, unless it is gone by now or what was noted has been used since."""
        while True:
            noted, scope = heappop(self._noted)
            shelf = self._shelves.get(scope)
            if shelf is None or shelf.noted != noted:
                continue
            digested, entry = next(iter(shelf.items()))
            if entry.last_use == noted:
                break
            self._note(scope, shelf)
        self._remove(scope, digested)
        if shelf:
            self._note(scope, shelf)
        self.evictions += 1

    def _remove(self, scope: int, digested: bytes) -> None:
        shelf = self._shelves[scope]
        byte_size = shelf.pop(digested).byte_size
        shelf.used -= byte_size
        self.used -= byte_size
        if not shelf:
            del self._shelves[scope]


def _free(shelf: _Shelf) -> None:
    """One by one: as a whole it would be freed without letting the event loop's thread have the interpreter."""
    while shelf:
        shelf.popitem()


def _byte_size(array: Array) -> int:
    strings = array.size * ELEMENT_BYTES + sum(map(len, _elements(array))) if array.dtype.hasobject else 0
    return array.nbytes + strings + OUTPUT_BYTES


def _frozen(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def open_cache(cache_config: Mapping[str, Mapping[str, str]]) -> ResponseCache | None:
    """The cache of `--cache-config`; None when there is none. Raises InvalidArgument."""
    if not cache_config:
        return None
    if len(cache_config) > 1:
        raise InvalidArgument("found multiple cache configurations, but only a single cache is currently supported")
    ((name, settings),) = cache_config.items()
    if name != "local":
        raise InvalidArgument(f"there is no cache '{name}' here; expected --cache-config=local,size=<bytes>")
    size = settings.get("size", "")
    if not size.isdecimal():
        raise InvalidArgument(f"--cache-config=local,size: expected a number of bytes, got '{size}'")
    return ResponseCache(int(size))
