"""Shared memory of front ends, in one process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from despina.http.workers.arena import Arena, create_arena


@contextmanager
def arena(kept_bytes: int = 1 << 20) -> Iterator[Arena]:
    descriptor = create_arena("test")
    try:
        yield Arena(descriptor, kept_bytes)
    finally:
        os.close(descriptor)
