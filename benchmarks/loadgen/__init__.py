"""The harness's own load generator: a small C program, compiled with the system's compiler when it is first needed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.latencies import from_histogram
from benchmarks.measurement import Load
from benchmarks.places import BUILT

SOURCE = Path(__file__).parent / "loadgen.c"


class NoCompiler(Exception):
    """There is no C compiler to build the load generator with, or it lacks something."""


def build() -> Path:
    """The load generator, compiled unless this very source has been compiled before. Raises NoCompiler."""
    source = SOURCE.read_bytes()
    program = BUILT / f"loadgen-{hashlib.sha256(source).hexdigest()[:12]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("the load generator needs a C compiler (Debian: apt-get install gcc libc6-dev)")
    BUILT.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(f".{os.getpid()}")
    compiling = subprocess.run([compiler, "-O2", "-o", str(partial), str(SOURCE), "-lm"], check=False)
    if compiling.returncode != 0:
        raise NoCompiler(f"{compiler} cannot compile the load generator (Debian: apt-get install gcc libc6-dev)")
    partial.replace(program)
    return program


def generate(
    port: int,
    connections: int,
    seconds: float,
    requests: Sequence[Path],
    rate: float = 0.0,
    seed: int = 1,
    in_turn: bool = False,
) -> Load:
    """Send complete HTTP requests, one per file, to a port of this machine; connection i sends number i modulo their
    count, again and again or, `in_turn`, those that follow it `connections` apart. `rate` 0 is a closed loop; above,
    requests per second of a Poisson process, of which `seed` chooses one. Raises CalledProcessError, with the reason on
    stderr, when the server does something the generator cannot count."""
    return read_load(tell(port, connections, seconds, requests, rate, seed, in_turn))


def tell(
    port: int,
    connections: int,
    seconds: float,
    requests: Sequence[Path],
    rate: float = 0.0,
    seed: int = 1,
    in_turn: bool = False,
) -> dict[str, Any]:
    """As `generate`, with what the generator printed as it is: among it the histogram of all latencies of requests
    that were answered with 200, as pairs of nanoseconds and their count."""
    command = [str(build()), str(port), str(connections), str(seconds), str(rate), str(seed), str(int(in_turn))]
    command += map(str, requests)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    done.check_returncode()
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def read_load(told: dict[str, Any]) -> Load:
    """What the generator printed."""
    return Load(
        completed=told["completed"],
        answered=told["answered"],
        seconds=told["seconds"],
        errors=told["errors"] + told["unanswered"],
        reconnects=told["reconnects"],
        resent=told["resent"],
        cpu_seconds=told["cpu_seconds"],
        latencies=from_histogram(dict(told["histogram"])),
    )
