"""The sources, none of which are in this repository: fetched, or put there by hand where GitHub is out of reach."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server_process import NotStarted

BRANCH = "r24.10"
"""Of tritonserver 2.51, the one nvidia-pytriton carries."""
TRITON = "https://github.com/triton-inference-server"
HEADERS = Path("include/onnxruntime/core/session")
"""The one folder that is needed of ONNX Runtime's repository."""
SAID_LINES = 12


class NotBuilt(NotStarted):
    """The backend cannot be compiled here; says why."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder below the sources, the repository it is a checkout of, at which branch or tag, and a file it must have.
    `only` is the folder that is checked out; None is everything."""

    folder: str
    url: str
    branch: str
    file: Path
    only: Path | None = None

    def obtain(self, sources: Path) -> None:
        """Clone it unless it is there. Raises NotBuilt."""
        folder = sources / self.folder
        wanted = f"{self.folder} of {self.url} at {self.branch}"
        if (folder / self.file).exists():
            return
        if folder.exists():
            raise NotBuilt(f"{folder} has no {self.file}: it should be {wanted}; remove it to have it fetched")
        print(f"fetching {wanted}")
        by_hand = f"{wanted} could not be fetched; put a checkout of it at {folder}"
        sparse = ["--filter=blob:none", "--sparse"] if self.only else []
        run(
            ["git", "clone", "--quiet", "--depth=1", *sparse, f"--branch={self.branch}", self.url, str(folder)], by_hand
        )
        if self.only:
            run(["git", "-C", str(folder), "sparse-checkout", "set", str(self.only)], by_hand)
        if not (folder / self.file).exists():
            raise NotBuilt(f"{wanted} has no {self.file}")


def checkouts(onnxruntime: str) -> Sequence[Checkout]:
    """All that is needed, with the headers of this version of ONNX Runtime."""
    needed = {
        "onnxruntime_backend": Path("src/onnxruntime.cc"),
        "backend": Path("src/backend_common.cc"),
        "core": Path("include/triton/core/tritonbackend.h"),
        "common": Path("src/thread_pool.cc"),
    }
    triton = [Checkout(name, f"{TRITON}/{name}", BRANCH, file) for name, file in needed.items()]
    url, header = "https://github.com/microsoft/onnxruntime", HEADERS / "onnxruntime_c_api.h"
    return [*triton, Checkout("onnxruntime", url, f"v{onnxruntime}", header, HEADERS)]


def run(command: Sequence[str], failed: str) -> None:
    """Run a program. Raises NotBuilt: `failed`, then what it said first, where compilers put what went wrong."""
    if shutil.which(command[0]) is None:
        raise NotBuilt(f"{failed}: there is no {command[0]} (Debian: apt-get install {command[0]})")
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        # git asks for a password where a repository does not exist, unless it is told not to ask.
        env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
    )
    if done.returncode != 0:
        raise NotBuilt("\n".join([f"{failed}:", *done.stdout.strip().splitlines()[:SAID_LINES]]))
