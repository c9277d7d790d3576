import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers import PEERS
from benchmarks.peers.triton_onnxruntime.build import check_headers, compile_all, link
from benchmarks.peers.triton_onnxruntime.runtime import Runtime
from benchmarks.peers.triton_onnxruntime.sources import HEADERS, Checkout, NotBuilt, checkouts, run
from benchmarks.peers.tritonserver_onnxruntime import TritonServerOnnxRuntime
from benchmarks.repository import DEFAULTS, Batching
from benchmarks.server_process import NotStarted
from benchmarks.workload import Workload

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def a_workload() -> Workload:
    rows = np.array([[1, 2], [3, 4]], np.float32)
    return Workload("m", {"x": rows}, "y", rows * 2, 1e-6)


def repository(folder: Path, branch: str, *files: str) -> str:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    for command in (["init", "-q", "-b", branch], ["config", "uploadpack.allowFilter", "true"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *author, "commit", "-q", "-m", "all"], check=True)
    return folder.as_uri()


def test_without_the_backend_the_peer_says_how_to_get_it() -> None:
    runtime = Runtime(Path("libonnxruntime.so.0.0.0"), "0.0.0")
    with pytest.raises(NotStarted, match=r"ONNX Runtime 0\.0\.0 .* python -m benchmarks\.peers\.triton_onnxruntime;"):
        TritonServerOnnxRuntime(a_workload(), Batching(), runtime).start()


@pytest.mark.parametrize("batching", [Batching(), DEFAULTS])
def test_the_peer_has_the_settings_that_despina_has(batching: Batching) -> None:
    peer = PEERS["tritonserver-onnxruntime"](a_workload(), batching)
    assert isinstance(peer, TritonServerOnnxRuntime)
    assert peer.batching == batching


@needs_git
def test_what_is_missing_is_cloned_at_its_branch(tmp_path: Path) -> None:
    url = repository(tmp_path / "origin", "r1", "a.cc")
    Checkout("core", url, "r1", Path("a.cc")).obtain(tmp_path / "sources")
    assert (tmp_path / "sources" / "core" / "a.cc").exists()


@needs_git
def test_of_a_large_repository_one_folder_is_checked_out(tmp_path: Path) -> None:
    url = repository(tmp_path / "origin", "v1", "include/api.h", "large/a.cc")
    Checkout("onnxruntime", url, "v1", Path("include/api.h"), Path("include")).obtain(tmp_path)
    assert (tmp_path / "onnxruntime" / "include" / "api.h").exists()
    assert not (tmp_path / "onnxruntime" / "large").exists()


@needs_git
def test_what_cannot_be_fetched_is_named_with_the_place_for_it(tmp_path: Path) -> None:
    checkout = Checkout("core", (tmp_path / "nowhere").as_uri(), "r1", Path("a.cc"))
    with pytest.raises(NotBuilt, match=r"nowhere at r1 could not be fetched; put .* at .*/sources/core:\nfatal"):
        checkout.obtain(tmp_path / "sources")


def test_what_is_there_is_not_fetched(tmp_path: Path) -> None:
    for checkout in checkouts("1.2.3"):
        (tmp_path / checkout.folder / checkout.file).parent.mkdir(parents=True)
        (tmp_path / checkout.folder / checkout.file).write_text("")
        checkout.obtain(tmp_path)


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    with pytest.raises(NotBuilt, match=r"core has no a\.cc: it should be core of http://there at r1"):
        Checkout("core", "http://there", "r1", Path("a.cc")).obtain(tmp_path)


def test_headers_are_those_of_the_installed_version() -> None:
    assert checkouts("1.2.3")[-1].branch == "v1.2.3"


@pytest.mark.parametrize("text", ["#define ORT_API_VERSION 33\n", "// nothing\n"])
def test_headers_newer_than_the_library_are_refused(tmp_path: Path, text: str) -> None:
    header = tmp_path / "onnxruntime_c_api.h"
    header.write_text(text)
    with pytest.raises(NotBuilt, match=r"expected at most 32: the onnxruntime of this environment is 1\.32\.0"):
        check_headers(header, Runtime(Path("lib"), "1.32.0"))


@pytest.mark.parametrize("version", [32, 29])
def test_headers_as_old_as_the_library_or_older_will_do(tmp_path: Path, version: int) -> None:
    header = tmp_path / "onnxruntime_c_api.h"
    header.write_text(f"// first\n#define ORT_API_VERSION {version}\n")
    check_headers(header, Runtime(Path("lib"), "1.32.0"))


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(NotBuilt, match=r"no x: there is no a-missing-program \(Debian: apt-get install"):
        run(["a-missing-program"], "no x")


def small_sources(root: Path, code: str) -> Path:
    """Checkouts with one line where the real ones have thousands."""
    for name in ("async_work_queue", "error", "thread_pool"):
        (root / "common" / "src").mkdir(parents=True, exist_ok=True)
        (root / "common" / "src" / f"{name}.cc").write_text("")
    for folder in ("onnxruntime_backend/src", "backend/src", f"onnxruntime/{HEADERS}"):
        (root / folder).mkdir(parents=True)
    (root / "onnxruntime" / HEADERS / "api.h").write_text("int version();\n")
    (root / "onnxruntime_backend" / "src" / "onnxruntime.cc").write_text(code)
    (root / "onnxruntime_backend" / "src" / "libtriton_onnxruntime.ldscript").write_text("{ global: *; };\n")
    (root / "backend" / "src" / "device_memory_tracker.cc").write_text("#error needs CUDA\n")
    (root / "objects").mkdir()
    return root


@needs_compiler
def test_sources_become_a_backend_beside_its_runtime(tmp_path: Path) -> None:
    root = small_sources(tmp_path, '#include "api.h"\nint backend() { return version(); }\n')
    library = tmp_path / "libonnxruntime.so.1.32.0"
    (tmp_path / "runtime.cc").write_text("int version() { return 32; }\n")
    run(["g++", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "runtime.cc")], "")
    link(root, compile_all(root, root / "objects"), library, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "libonnxruntime.so.1",
        "libtriton_onnxruntime.so",
    ]


@needs_compiler
def test_a_missing_header_is_named_with_the_file_that_wants_it(tmp_path: Path) -> None:
    root = small_sources(tmp_path, '#include "another.h"\n')
    with pytest.raises(NotBuilt, match=r"onnxruntime\.cc does not compile:\n.*another\.h: No such file"):
        compile_all(root, root / "objects")
