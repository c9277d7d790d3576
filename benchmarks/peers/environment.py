"""A virtual environment per peer, so that no peer has to get along with another one's dependencies."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.places import PEERS
from benchmarks.server_process import NotStarted


def environment(name: str, requirements: Sequence[str], python: str = sys.executable) -> Path:
    """The bin directory of a virtual environment with these requirements; made again when they change. Raises
    NotStarted with pip's last words."""
    root = PEERS / name
    mark = root / ("made-" + hashlib.sha256("\n".join([python, *requirements]).encode()).hexdigest()[:12])
    if not mark.exists():
        shutil.rmtree(root, ignore_errors=True)
        print(f"installing {', '.join(requirements)}", file=sys.stderr)
        _run([python, "-m", "venv", str(root)], name)
        _run([str(root / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements], name)
        mark.touch()
    return root / "bin"


def installed(bin_directory: Path, distribution: str) -> str:
    """Version of a distribution in an environment."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    done = subprocess.run([str(bin_directory / "python"), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def versions(bin_directory: Path, distributions: Sequence[str]) -> str:
    """`name version, name version`"""
    return ", ".join(f"{name} {installed(bin_directory, name)}" for name in distributions)


def site_packages(bin_directory: Path) -> Path:
    (found,) = (bin_directory.parent / "lib").glob("python*/site-packages")
    return found


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise NotStarted(f"{name} could not be installed: {done.stdout.strip()[-600:]}")
