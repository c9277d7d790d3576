"""Compiling and linking: what the CMake files of the repositories do, less GPUs and less everything they download."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peers.triton_onnxruntime.runtime import Runtime
from benchmarks.peers.triton_onnxruntime.sources import HEADERS, NotBuilt, checkouts, run

COMPILER = "g++"
FLAGS = ("-O3", "-DNDEBUG", "-std=c++17", "-fPIC", "-w", "-DTRITON_ENABLE_STATS", "-DTRITON_ENABLE_LOGGING")
INCLUDES = (Path("onnxruntime", HEADERS), Path("core/include"), Path("backend/include"), Path("common/include"))
COMMON = ("async_work_queue.cc", "error.cc", "thread_pool.cc")
GPU_ONLY = "device_memory_tracker.cc"
EXPORTS = Path("onnxruntime_backend/src/libtriton_onnxruntime.ldscript")
SONAME = "libonnxruntime.so.1"


def build(sources: Path, runtime: Runtime) -> None:
    """Obtain what is missing in `sources`, compile, and put the backend where the harness looks for it, or nothing at
    all. Raises NotBuilt."""
    check_compiler()
    for checkout in checkouts(runtime.version):
        checkout.obtain(sources)
    check_headers(sources / "onnxruntime" / HEADERS / "onnxruntime_c_api.h", runtime)
    runtime.backends.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runtime.backends.parent) as work:
        objects, backends = Path(work, "objects"), Path(work, "backends")
        objects.mkdir()
        link(sources, compile_all(sources, objects), runtime.library, backends / "onnxruntime")
        shutil.rmtree(runtime.backends, ignore_errors=True)
        backends.rename(runtime.backends)


def check_compiler() -> None:
    """Raises NotBuilt without a compiler or the one library that is no part of the sources."""
    run([COMPILER, "--version"], "nothing can be compiled")
    missing = "the headers of rapidjson are missing (Debian: apt-get install rapidjson-dev)"
    run([COMPILER, "-E", "-x", "c++", "-include", "rapidjson/document.h", "-o", os.devnull, os.devnull], missing)


def check_headers(header: Path, runtime: Runtime) -> None:
    """ONNX Runtime serves programs with older headers. It has no table of functions for newer ones."""
    found = re.search(r"^#define ORT_API_VERSION (\d+)", header.read_text(), re.MULTILINE)
    newest = int(runtime.version.split(".")[1])
    if found is None or int(found[1]) > newest:
        raise NotBuilt(
            f"{header} is of API version {found[1] if found else 'unknown'}, "
            f"expected at most {newest}: the onnxruntime of this environment is {runtime.version}"
        )


def compile_all(sources: Path, objects: Path) -> Sequence[Path]:
    """Every source file, as many at a time as there are cores."""
    files = sorted((sources / "onnxruntime_backend" / "src").glob("*.cc"))
    files += sorted(file for file in (sources / "backend" / "src").glob("*.cc") if file.name != GPU_ONLY)
    files += [sources / "common" / "src" / name for name in COMMON]
    includes = [f"-I{sources / folder}" for folder in INCLUDES]

    def one(file: Path) -> Path:
        target = objects / f"{file.stem}.o"
        run([COMPILER, *FLAGS, *includes, "-c", str(file), "-o", str(target)], f"{file} does not compile")
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, files))


def link(sources: Path, objects: Sequence[Path], library: Path, target: Path) -> None:
    """The backend and, beside it, the library out of the wheel under the name it is looked for by."""
    target.mkdir(parents=True)
    runtime = shutil.copy(library, target / SONAME)
    command = [COMPILER, "-shared", "-o", str(target / "libtriton_onnxruntime.so"), *map(str, objects)]
    command += [f"-Wl,--version-script={sources / EXPORTS}", "-Wl,-rpath,$ORIGIN", str(runtime), "-lpthread"]
    run(command, "the backend does not link")
