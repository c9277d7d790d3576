import os
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.grpc_methods import ask_method

from despina.errors import AlreadyExists, DespinaError, InvalidArgument, NotFound, Unsupported
from despina.server import Server

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def key() -> Iterator[str]:
    """The key of a segment of two pages."""
    made = SharedMemory(create=True, size=2 * PAGE)
    yield f"/{made.name}"
    made.close()
    made.unlink()


async def register(server: Server, name: str, key: str, offset: int = 0, byte_size: int = 8) -> None:
    await ask_method(server, "SystemSharedMemoryRegister", name=name, key=key, offset=offset, byte_size=byte_size)


async def registered(server: Server, name: str = "") -> dict[str, tuple[str, str, int, int]]:
    answer = await ask_method(server, "SystemSharedMemoryStatus", name=name)
    return {name: (r.name, r.key, r.offset, r.byte_size) for name, r in answer.regions.items()}


async def test_regions_come_and_go(server: Server, key: str) -> None:
    await register(server, "a", key)
    await register(server, "b", f"{key}\0x", PAGE, PAGE)
    region_a, region_b = ("a", key, 0, 8), ("b", key, PAGE, PAGE)
    assert await registered(server) == {"a": region_a, "b": region_b}
    assert await registered(server, "b") == {"b": region_b}
    await ask_method(server, "CudaSharedMemoryUnregister")
    await ask_method(server, "CudaSharedMemoryUnregister", name="a")
    await ask_method(server, "SystemSharedMemoryUnregister", name="b")
    await ask_method(server, "SystemSharedMemoryUnregister", name="nope")
    assert await registered(server) == {"a": region_a}
    await ask_method(server, "SystemSharedMemoryUnregister")
    assert await registered(server) == {}


async def test_a_region_that_cannot_be_is_refused(server: Server, key: str) -> None:
    await register(server, "a", key)
    with pytest.raises(AlreadyExists, match="shared memory region 'a' already in manager"):
        await register(server, "a", key)
    with pytest.raises(InvalidArgument, match="failed to register shared memory region 'b': invalid args"):
        await register(server, "b", key, byte_size=3 * PAGE)
    with pytest.raises(DespinaError, match="Unable to open shared memory region: '/none'"):
        await register(server, "b", "/none")


async def test_a_region_that_is_not_there_has_no_status(server: Server, key: str) -> None:
    await register(server, "a", key)
    with pytest.raises(NotFound, match="Unable to find system shared memory region: 'b'"):
        await registered(server, "b")
    with pytest.raises(NotFound, match="Unable to find cuda shared memory region: 'b'"):
        await ask_method(server, "CudaSharedMemoryStatus", name="b")
    with pytest.raises(NotFound, match="registered as system shared memory, not CUDA shared memory"):
        await ask_method(server, "CudaSharedMemoryStatus", name="a")


async def test_memory_of_a_gpu_is_registered_by_its_handle(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_cuda(name: str, raw_handle: bytes, device_id: int, byte_size: int) -> Any:
        opened.append((name, raw_handle, device_id, byte_size))
        return SimpleNamespace(byte_size=8, description={"device_id": 1, "byte_size": 8})

    monkeypatch.setattr(server.shared_memory, "_open_cuda", open_cuda)
    fields = {"raw_handle": b"x" * 64, "device_id": 1, "byte_size": 8}
    await ask_method(server, "CudaSharedMemoryRegister", name="g", **fields)
    assert opened == [("g", b"x" * 64, 1, 8)]
    answer = await ask_method(server, "CudaSharedMemoryStatus", name="g")
    region = answer.regions["g"]
    assert (region.name, region.device_id, region.byte_size) == ("g", 1, 8)
    with pytest.raises(InvalidArgument, match="failed to register shared memory region: invalid args"):
        await ask_method(server, "CudaSharedMemoryRegister", name="h", raw_handle=b"x" * 63, byte_size=8)


@pytest.mark.parametrize("kind", ["System", "Cuda"])
async def test_a_server_that_shares_no_memory_only_tells_what_is_registered(server: Server, kind: str) -> None:
    server.settings = replace(server.settings, allow_client_shm=False)
    for change in ("Register", "Unregister"):
        with pytest.raises(Unsupported, match="Client shared memory is disabled"):
            await ask_method(server, f"{kind}SharedMemory{change}", name="a")
    assert not (await ask_method(server, f"{kind}SharedMemoryStatus")).regions
