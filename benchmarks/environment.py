"""What a run ran on: machine, kernel, versions. No host names, no paths."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

DISTRIBUTIONS = (
    "despina",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "orjson",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
)


def machine() -> dict[str, str]:
    """CPU, cores this process may use, memory, kernel, Python, compiler, GPUs, load."""
    said = {
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }
    gpus = gpu_names()
    return {**said, "gpu": ", ".join(gpus)} if gpus else said


def versions() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def gpu_names() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []
