"""The calls of the CUDA driver as C sees them: arguments by value, their sizes, the context that is current."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from despina.errors import DespinaError
from despina.shared_memory.cuda import CudaDriver, CudaOpener

SOURCE = Path(__file__).with_name("libcuda.c")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", SOURCE], check=True)
    loaded = ctypes.CDLL(str(tmp_path / "libcuda.so.1"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: loaded)
    return loaded


def test_a_region_is_opened_copied_and_closed(library: ctypes.CDLL) -> None:
    memory = CudaOpener(CudaDriver())("r", b"h" * 64, 1, 64)
    memory.write(3, memoryview(b"abc"))
    assert memory.read(2, 5) == b"\0abc\0"
    assert library.handles_open() == 1
    del memory
    assert library.handles_open() == 0
    assert library.contexts_current() == 0


@pytest.mark.parametrize(
    ("handle", "device", "size"),
    [(b"h" * 63 + b"x", 1, 64), (b"h" * 64, 2, 64), (b"h" * 64, 1 - (1 << 32), 64), (b"h" * 64, 1, 65)],
)
def test_what_is_refused_leaves_nothing_open(library: ctypes.CDLL, handle: bytes, device: int, size: int) -> None:
    with pytest.raises(DespinaError, match="invalid args"):
        CudaOpener(CudaDriver())("r", handle, device, size)
    assert library.handles_open() == 0
    assert library.contexts_current() == 0
