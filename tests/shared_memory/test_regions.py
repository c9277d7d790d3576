from collections.abc import Callable

import pytest

from despina.errors import DespinaError
from despina.shared_memory.regions import MAX_UINT64, Regions
from despina.shared_memory.window import MAX_READ, Window


class Memory:
    def __init__(self, byte_size: int, **description: int | str) -> None:
        self.byte_size = byte_size
        self.description = {**description, "byte_size": byte_size}
        self.data = bytearray(range(byte_size)) if byte_size <= 256 else bytearray()

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self.data[offset : offset + len(data)] = data


def regions() -> Regions:
    """A region "s" of system memory and a region "g" on a GPU."""
    made = Regions(
        lambda name, key, offset, size: Memory(size, key=key, offset=offset),
        lambda name, handle, device, size: Memory(size, device_id=device),
    )
    made.register_system("s", "/k", 0, 100)
    made.register_cuda("g", bytes(64), 1, 50)
    return made


def test_status_tells_the_regions_of_one_kind_sorted_by_name() -> None:
    made = regions()
    made.register_system("a", "/k2", 4096, 8)
    a = {"name": "a", "key": "/k2", "offset": 4096, "byte_size": 8}
    s = {"name": "s", "key": "/k", "offset": 0, "byte_size": 100}
    assert made.status("system") == [a, s]
    assert made.status("system", "s") == [s]
    assert made.status("CUDA") == [{"name": "g", "device_id": 1, "byte_size": 50}]


@pytest.mark.parametrize(
    ("ask", "status", "text"),
    [
        (lambda r: r.status("system", "x"), 404, "Unable to find system shared memory region: 'x'"),
        (lambda r: r.status("CUDA", "x"), 404, "Unable to find cuda shared memory region: 'x'"),
        (
            lambda r: r.status("system", "g"),
            404,
            "The region named 'g' is registered as CUDA shared memory, not system shared memory",
        ),
        (
            lambda r: r.status("CUDA", "s"),
            404,
            "The region named 's' is registered as system shared memory, not CUDA shared memory",
        ),
        (lambda r: r.register_system("g", "/k", 0, 8), 400, "shared memory region 'g' already in manager"),
        (lambda r: r.register_cuda("s", bytes(64), 0, 8), 400, "shared memory region 's' already in manager"),
        (
            lambda r: r.register_cuda("s", bytes(63), 0, 8),
            400,
            "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t",
        ),
        (
            lambda r: r.register_system("s", "/", 0, 8),
            400,
            "cannot register shared memory region 's' - invalid shm key '/'",
        ),
        (lambda r: r.find("x", 0, 1), 404, "Unable to find shared memory region: 'x'"),
        (lambda r: r.find("\ud800", 0, 1), 404, "Unable to find shared memory region: '\ud800'"),
        (lambda r: r.find("s", 100, 0), 400, "Invalid offset for shared memory region: 's'"),
        (lambda r: r.find("s", 0, 0), 400, "Invalid offset + byte size for shared memory region: 's'"),
        (lambda r: r.find("s", 99, 2), 400, "Invalid offset + byte size for shared memory region: 's'"),
        (
            lambda r: r.find("s", 1, MAX_UINT64),
            400,
            "Integer overflow detected: byte_size (18446744073709551615) + offset (1) exceeds maximum value "
            "(18446744073709551615) for region 's'",
        ),
        (lambda r: r.find("s", 1, MAX_UINT64 - 1), 400, "Invalid offset + byte size for shared memory region: 's'"),
    ],
)
def test_what_does_not_fit_is_refused(ask: Callable[[Regions], object], status: int, text: str) -> None:
    with pytest.raises(DespinaError) as error:
        ask(regions())
    assert (error.value.status, error.value.message) == (status, text)


def test_a_window_reads_and_writes_its_part_of_the_region() -> None:
    window = regions().find("s", 10, 4)
    assert bytes(window.read()) == bytes([10, 11, 12, 13])
    window.write(b"ab")
    assert bytes(window.read()) == b"ab" + bytes([12, 13])


def test_a_window_may_be_empty_unless_it_is_at_the_beginning() -> None:
    assert bytes(regions().find("s", 1, 0).read()) == b""


@pytest.mark.parametrize("name", ["a%20b%2Fc", "a b/c"])
def test_a_region_is_found_by_its_name_and_by_what_clients_quoted_for_the_path(name: str) -> None:
    made = regions()
    made.register_system("a%20b%2Fc", "/k", 0, 1)
    assert bytes(made.find(name, 0, 1).read()) == bytes([0])


def test_names_as_long_as_no_client_has_them_are_not_quoted() -> None:
    made = regions()
    made.register_system("%20" * 4096, "/k", 0, 1)
    made.register_system("%20" * 4097, "/k", 0, 1)
    assert len(made.find(" " * 4096, 0, 1).read()) == 1
    with pytest.raises(DespinaError, match="Unable to find"):
        made.find(" " * 4097, 0, 1)


def test_a_region_that_has_the_very_name_comes_first() -> None:
    made = regions()
    made.register_system("a%20b", "/k", 0, 1)
    made.register_system("a b", "/k", 0, 2)
    assert len(made.find("a b", 0, 2).read()) == 2


def test_a_window_may_be_all_of_its_region() -> None:
    assert bytes(regions().find("s", 0, 100).read()) == bytes(range(100))
    assert bytes(regions().find("s", 99, 1).read()) == bytes([99])


def test_a_region_stays_until_its_last_window_is_gone() -> None:
    made = regions()
    window = made.find("s", 0, 2)
    made.unregister("system", "s")
    assert len(made.status("system")) == len(made.status("system", "s")) == 1
    with pytest.raises(DespinaError, match="already in manager"):
        made.register_system("s", "/other", 0, 2)
    second = made.find("s", 0, 1)
    assert bytes(window.read()) == bytes([0, 1])
    del window
    assert len(made.status("system")) == 1
    del second
    assert made.status("system") == []
    made.register_system("s", "/other", 0, 2)
    assert made.status("system", "s")[0]["key"] == "/other"


def test_unregistering_forgets_regions_of_its_kind_only() -> None:
    made = regions()
    made.unregister("system", "g")
    made.unregister("system", "nobody")
    assert len(made.status("CUDA")) == 1
    made.unregister("system")
    assert (made.status("system"), len(made.status("CUDA"))) == ([], 1)
    made.unregister("CUDA", "g")
    assert made.status("CUDA") == []


def test_a_window_too_large_for_one_tensor_is_not_read() -> None:
    window = Window(Memory(1 << 40), "big", 0, MAX_READ + 1)
    with pytest.raises(DespinaError, match="exceeds the maximum of 2147479552 bytes"):
        window.read()
