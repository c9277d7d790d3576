"""System shared memory: a segment, its registration as a region, and how a request points into it."""

import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from benchmarks.verify import ANSWER_S

SHARED = Path("/dev/shm")
Family = Literal["systemsharedmemory", "cudasharedmemory"]


@contextmanager
def segment(purpose: str, byte_size: int) -> Iterator[Path]:
    """The file of a segment of zeros, which is gone afterwards. Its pages are taken when they are written."""
    path = SHARED / f"despina-{purpose}-{os.getpid()}"
    try:
        path.write_bytes(b"")
        os.truncate(path, byte_size)
        yield path
    finally:
        path.unlink(missing_ok=True)


def register_segment(port: int, region: str, path: Path) -> None:
    """All of a segment, with the server on `port`. Raises OSError where the server refuses."""
    document = {"key": f"/{path.name}", "offset": 0, "byte_size": path.stat().st_size}
    post(port, "systemsharedmemory", region, document)


def post(port: int, family: Family, region: str, document: Mapping[str, Any] | None) -> None:
    """Register, or unregister for None. Raises OSError where the server refuses."""
    action = "unregister" if document is None else "register"
    url = f"http://127.0.0.1:{port}/v2/{family}/region/{region}/{action}"
    body = b"" if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=ANSWER_S):
        pass


def place(region: str, offset: int, byte_size: int) -> dict[str, object]:
    """The parameters of a tensor that lies there."""
    return {
        "shared_memory_region": region,
        "shared_memory_byte_size": byte_size,
        "shared_memory_offset": offset,
    }
