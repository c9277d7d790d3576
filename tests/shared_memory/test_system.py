import os
from pathlib import Path

import pytest

from despina.errors import DespinaError
from despina.shared_memory import system
from despina.shared_memory.system import check_key, open_system

PAGE = os.sysconf("SC_PAGE_SIZE")


def test_bytes_are_read_and_written_from_the_offset_of_the_region(tmp_path: Path) -> None:
    segment = tmp_path / "k"
    segment.write_bytes(b"a" * PAGE + b"bcdefgh")
    memory = open_system("r", "/k", PAGE, 6, tmp_path)
    assert memory.read(1, 2) == b"cd"
    memory.write(2, memoryview(b"XY"))
    assert segment.read_bytes()[PAGE:] == b"bcXYfgh"
    assert memory.description == {"key": "/k", "offset": PAGE, "byte_size": 6}


@pytest.mark.parametrize(
    ("offset", "byte_size", "text"),
    [
        (0, 9, "failed to register shared memory region 'r': invalid args"),
        (PAGE, 1, "failed to register shared memory region 'r': invalid args"),
        (1 << 63, 1 << 63, "failed to register shared memory region 'r': invalid args"),
        (
            4,
            4,
            "failed to register shared memory region 'r': unable to process address spaceInvalid argument",
        ),
        (
            0,
            0,
            "failed to register shared memory region 'r': unable to process address spaceInvalid argument",
        ),
    ],
)
def test_a_region_must_lie_in_its_segment_and_begin_with_a_page(
    tmp_path: Path, offset: int, byte_size: int, text: str
) -> None:
    (tmp_path / "k").write_bytes(bytes(8))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(DespinaError) as error:
        open_system("r", "/k", offset, byte_size, tmp_path)
    assert (error.value.status, error.value.message) == (400, text)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_region_that_cannot_be_mapped_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    (tmp_path / "k").write_bytes(bytes(8))
    monkeypatch.setattr(system, "GuardedMap", no_room)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DespinaError) as error:
        open_system("r", "/k", 0, 8, tmp_path)
    text = "failed to register shared memory region 'r': unable to process address spaceCannot allocate memory"
    assert (error.value.status, error.value.message) == (400, text)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_segment_that_is_truncated_before_it_is_mapped_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def truncated(*_: object) -> None:
        raise ValueError("mmap length is greater than file size")

    (tmp_path / "k").write_bytes(bytes(8))
    monkeypatch.setattr(system, "GuardedMap", truncated)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DespinaError) as error:
        open_system("r", "/k", 0, 8, tmp_path)
    assert error.value.status == 400
    assert error.value.message == "failed to register shared memory region 'r': invalid args"
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "key",
    ["/nothing", "/../outside", "/below/inside", "/link", "/below", "/pipe", "/a\0b", "/\ud800", "/" + "x" * 300],
)
def test_only_regular_files_of_the_directory_itself_are_segments(tmp_path: Path, key: str) -> None:
    directory = tmp_path / "shm"
    (directory / "below").mkdir(parents=True)
    (directory / "below" / "inside").write_bytes(bytes(8))
    (tmp_path / "outside").write_bytes(bytes(8))
    (directory / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(directory / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DespinaError) as error:
        open_system("r", key, 0, 8, directory)
    assert (error.value.status, error.value.message) == (500, f"Unable to open shared memory region: '{key}'")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "cannot register shared memory region 'r' - invalid shm key ''"),
        ("//", "cannot register shared memory region 'r' - invalid shm key '//'"),
        (
            "/triton_python_backend_shm_region_1",
            "cannot register shared memory region 'r' with key '/triton_python_backend_shm_region_1' as the key "
            "contains the reserved prefix 'triton_python_backend_shm_region_'",
        ),
    ],
)
def test_keys_without_a_name_and_reserved_ones_are_refused(key: str, text: str) -> None:
    with pytest.raises(DespinaError) as error:
        check_key("r", key)
    assert (error.value.status, error.value.message) == (400, text)


def test_a_segment_that_was_truncated_is_an_error_and_no_signal(tmp_path: Path) -> None:
    segment = tmp_path / "k"
    segment.write_bytes(bytes(2 * PAGE))
    memory = open_system("r", "/k", 0, 2 * PAGE, tmp_path)
    os.truncate(segment, 10)
    text = f"shared memory '/k' has shrunk since it was registered: expected {2 * PAGE} bytes, got 10"
    with pytest.raises(DespinaError, match=text):
        memory.read(PAGE, PAGE)
    with pytest.raises(DespinaError, match=text):
        memory.write(PAGE, bytes(PAGE))
    assert segment.stat().st_size == 10
    assert memory.read(0, 10) == bytes(10)


def test_a_segment_that_ends_in_the_middle_is_neither_read_nor_written(tmp_path: Path) -> None:
    segment = tmp_path / "k"
    segment.write_bytes(bytes(PAGE))
    memory = open_system("r", "/k", 0, PAGE, tmp_path)
    os.truncate(segment, 10)
    text = "shared memory '/k' has shrunk since it was registered: expected 12 bytes, got 10"
    with pytest.raises(DespinaError, match=text):
        memory.read(8, 4)
    with pytest.raises(DespinaError, match=text):
        memory.write(8, b"abcd")
    assert segment.read_bytes() == bytes(10)


def test_what_is_there_and_what_comes_back_counts_from_the_offset_of_the_region(tmp_path: Path) -> None:
    segment = tmp_path / "k"
    segment.write_bytes(b"a" * PAGE + b"bcdefgh")
    memory = open_system("r", "/k", PAGE, 7, tmp_path)
    found = memory.read(0, 7)
    os.truncate(segment, PAGE + 3)
    assert memory.read(0, 3) == b"bcd"
    text = f"shared memory '/k' has shrunk since it was registered: expected {PAGE + 4} bytes, got {PAGE + 3}"
    with pytest.raises(DespinaError, match=text):
        memory.read(0, 4)
    os.truncate(segment, 0)
    assert bytes(found) == bytes(7)
    segment.write_bytes(b"a" * PAGE + b"hgfedcb")
    assert memory.read(0, 7) == b"hgfedcb"


def test_a_segment_that_is_truncated_in_the_middle_of_a_write_is_an_error_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = tmp_path / "k"
    segment.write_bytes(bytes(2 * PAGE))
    memory = open_system("r", "/k", 0, 2 * PAGE, tmp_path)
    os.truncate(segment, 0)
    with monkeypatch.context() as before:
        before.setattr(os, "lseek", lambda *_: 2 * PAGE)
        text = "failed to write to shared memory '/k': it was truncated meanwhile, or its file system is full"
        with pytest.raises(DespinaError, match=text):
            memory.write(PAGE, b"abc")
        with pytest.raises(DespinaError, match=f"has shrunk since it was registered: expected {2 * PAGE} bytes, got 0"):
            memory.read(0, 1)
    os.truncate(segment, 2 * PAGE)
    memory.write(PAGE, b"abc")
    assert segment.read_bytes()[PAGE : PAGE + 4] == b"abc\0"
    assert memory.read(PAGE, 3) == b"abc"


def test_memory_that_cannot_be_mapped_again_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    segment = tmp_path / "k"
    segment.write_bytes(bytes(PAGE))
    memory = open_system("r", "/k", 0, PAGE, tmp_path)
    found = memory.read(0, 1)
    os.truncate(segment, 0)
    assert bytes(found) == b"\0"
    os.truncate(segment, PAGE)
    monkeypatch.setattr(system, "GuardedMap", no_room)
    with pytest.raises(DespinaError, match="failed to map shared memory '/k' again: Cannot allocate memory"):
        memory.read(0, 1)


def test_what_is_read_is_the_memory_itself_and_cannot_be_written_to(tmp_path: Path) -> None:
    segment = tmp_path / "k"
    segment.write_bytes(b"before")
    memory = open_system("r", "/k", 0, 6, tmp_path)
    found = memory.read(0, 6)
    memory.write(0, b"behind")
    assert found == b"behind"
    assert memoryview(found).readonly


def test_the_segment_is_closed_with_the_last_reference(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(bytes(8))
    before = len(os.listdir("/proc/self/fd"))
    memory = open_system("r", "/k", 0, 8, tmp_path)
    found = memory.read(0, 8)
    assert len(os.listdir("/proc/self/fd")) == before + 2  # one is the map's
    del memory
    assert found == bytes(8)
    del found
    assert len(os.listdir("/proc/self/fd")) == before
