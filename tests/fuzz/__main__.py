"""Fuzz the server: `python -m tests.fuzz [--inputs 100000] [--seed 1] [--http-workers 1] [--grpc]`, from the top
of the repository.

Prints what was tried and found; the exit status is 1 when anything was.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.findings import Findings
from tests.fuzz.grpc_sessions import fuzz_grpc
from tests.fuzz.in_process import fuzz_in_process
from tests.fuzz.on_the_port import fuzz_port
from tests.fuzz.server import fuzz_target

IN_PROCESS_SHARE = 0.6


def run(inputs: int, seed: int, http_workers: int = 1) -> Findings:
    """Try so many inputs, the same ones for the same seed."""
    findings = Findings()
    inside = int(inputs * IN_PROCESS_SHARE)
    with tempfile.TemporaryDirectory() as folder, fuzz_target(Path(folder), http_workers) as target:
        fuzz_port(target, inputs - inside, seed, findings)
    fuzz_in_process(inside, seed, findings)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the server.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--http-workers", type=int, default=1)
    parser.add_argument("--grpc", action="store_true", help="sessions of gRPC instead of requests over HTTP")
    options = parser.parse_args()
    started = time.monotonic()
    if options.grpc:
        findings = Findings()
        fuzz_grpc(options.inputs, options.seed, findings)
    else:
        findings = run(options.inputs, options.seed, options.http_workers)
    print(findings.summary())
    print(f"seed {options.seed}, {time.monotonic() - started:.0f} s")
    return 1 if findings.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
