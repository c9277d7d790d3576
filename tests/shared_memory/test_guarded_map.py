import mmap
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from despina.shared_memory import guarded_map
from despina.shared_memory.guarded_map import GuardedMap, is_shared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (4 * mmap.PAGESIZE // 256))
    return path


def mapped(path: Path, offset: int = 0, size: int = 4 * mmap.PAGESIZE) -> GuardedMap:
    with path.open("r+b") as opened:
        return GuardedMap(opened.fileno(), offset, size)


def truncate(path: Path, size: int) -> None:
    with path.open("r+b") as opened:
        opened.truncate(size)


def test_the_view_is_the_file_from_the_offset(file: Path) -> None:
    guarded = mapped(file, mmap.PAGESIZE, 10)
    assert bytes(guarded.view) == bytes(range(10))
    guarded.view[3] = 77
    assert file.read_bytes()[mmap.PAGESIZE + 3] == 77
    with pytest.raises(ValueError, match="greater than file size"):
        mapped(file, mmap.PAGESIZE, 4 * mmap.PAGESIZE)


def test_a_page_that_is_gone_is_zeros_on_any_thread(file: Path) -> None:
    guarded, other = mapped(file), mapped(file)
    values = np.ndarray(4 * mmap.PAGESIZE, np.uint8, guarded.view.toreadonly())
    truncate(file, mmap.PAGESIZE)
    assert guarded.view[: mmap.PAGESIZE] == bytes(range(256)) * (mmap.PAGESIZE // 256)
    assert not guarded.lost
    copies: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []
    thread = threading.Thread(target=lambda: copies.append(values.copy()))
    thread.start()
    thread.join()
    assert not copies[0][mmap.PAGESIZE :].any()
    assert guarded.lost
    assert not other.lost
    other.view[-1] = 1
    assert other.lost
    assert file.stat().st_size == mmap.PAGESIZE


def test_a_map_is_guarded_as_long_as_there_is_a_view_of_it(file: Path) -> None:
    values = np.ndarray(4 * mmap.PAGESIZE, np.uint8, mapped(file).view)
    truncate(file, 0)
    assert not values.any()


def test_a_map_in_the_place_of_one_that_is_gone_stays_guarded(file: Path) -> None:
    first = mapped(file)
    (address,) = (start for start, pages in guarded_map._guarded.items() if pages is first._pages)
    second = mapped(file)
    guarded_map._guarded[address] = second._pages  # as if it had come there while the first was unmapped
    del first
    assert guarded_map._guarded.pop(address) is second._pages


def test_only_what_is_in_a_map_is_shared(file: Path) -> None:
    values = np.ndarray(2 * mmap.PAGESIZE, np.uint8, mapped(file).view[mmap.PAGESIZE :])
    assert is_shared(values)
    assert is_shared(values[-1:].view(np.int8))
    assert not is_shared(values.copy())
    assert not is_shared(np.frombuffer(bytes(8), np.uint8))
    del values


def test_a_map_has_all_of_its_pages_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    start, size = 16 * mmap.PAGESIZE, 2 * mmap.PAGESIZE
    monkeypatch.setattr(guarded_map, "_guarded", {start: guarded_map._Pages(mmap.PAGESIZE + 1)})
    addresses = [start - 1, start, start + size - 1, start + size]
    assert [guarded_map._start_of(address) for address in addresses] == [None, start, start, None]


def test_other_lost_pages_end_the_process_as_before(file: Path) -> None:
    script = (
        "import mmap, os, sys; from despina.shared_memory.guarded_map import GuardedMap\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "guarded, other = GuardedMap(file.fileno(), 0, 8), mmap.mmap(file.fileno(), 8)\n"
        "file.truncate(0); assert guarded.view[0] == 0 and guarded.lost; print('zeros', flush=True); other[0]"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGBUS, b"zeros\n"), ended.stderr


def test_a_signal_that_somebody_sends_ends_the_process_as_before(file: Path) -> None:
    script = (
        "import os, signal, sys, time; from despina.shared_memory.guarded_map import GuardedMap\n"
        "file = open(sys.argv[1], 'r+b'); guarded = GuardedMap(file.fileno(), 0, 8)\n"
        "file.truncate(0); assert guarded.view[0] == 0 and guarded.lost; print('zeros', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGBUS); time.sleep(10)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGBUS, b"zeros\n"), ended.stderr
