"""The harness's own load generator, for HTTP/1.1 and gRPC: a small C program, compiled with the system's compiler when
it is first needed."""

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

FOLDER = Path(__file__).parent


class NoCompiler(Exception):
    """There is no C compiler to build the load generator with, or it lacks something."""


def build() -> Path:
    """The load generator, compiled unless these very sources have been compiled before. Raises NoCompiler."""
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(FOLDER.glob("*.[ch]"))))
    program = BUILT / f"loadgen-{digest.hexdigest()[:12]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("the load generator needs a C compiler (Debian: apt-get install gcc libc6-dev)")
    BUILT.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(f".{os.getpid()}")
    sources = map(str, sorted(FOLDER.glob("*.c")))
    compiling = subprocess.run([compiler, "-O2", "-o", str(partial), *sources, "-lm"], check=False)
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
    """Send complete HTTP requests, or calls as `grpc_calls.beginning` writes them, one per file, to a port of this
    machine; connection i sends number i modulo their count, again and again or, `in_turn`, those that follow it
    `connections` apart. `rate` 0 is a closed loop; above, requests per second of a Poisson process, of which `seed`
    chooses one. Raises CalledProcessError, with the reason on stderr, when the server does something the generator
    cannot count."""
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
    that were answered with 200, or status 0 in gRPC, as pairs of nanoseconds and their count."""
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
