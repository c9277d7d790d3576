"""Compare with a real tritonserver: `python -m tests.differential [WHAT] [--count 3000] [--seed 1]`.

Both servers get the same damaged requests, requests with one odd member, requests of one kind several times over,
changed configurations, odd calls over gRPC, or the same operations in the same order (`conversation.py`: new servers
with other flags every so often), one after the other. Prints where the answers differ, one example of each kind, most
frequent first; the exit status is 1 when one of them has no known reason (`known.py`).
Needs TRITON_BACKEND_DIRECTORY, as the benchmark peer tritonserver-onnxruntime does.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.server_process import NotStarted
from tests.differential.calling import as_request, ask_both
from tests.differential.calls import odd_calls
from tests.differential.configurations import changed_configurations
from tests.differential.conversation import converse
from tests.differential.differences import Differences
from tests.differential.kinds import repeated_kinds
from tests.differential.members import odd_members
from tests.differential.operations import STEPS
from tests.differential.requests import damaged_requests
from tests.differential.servers import Pair, both
from tests.fuzz.corpus import Good

PROGRESS = 500
WHAT = ("requests", "members", "kinds", "configurations", "grpc", "operations")


def main() -> int:
    try:
        return run()
    except NotStarted as reason:
        print(reason, file=sys.stderr)
        return 2


def run() -> int:
    parser = argparse.ArgumentParser(description="Compare with a real tritonserver.")
    parser.add_argument("what", nargs="?", choices=WHAT, default="requests")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="print all that is said in operations")
    options = parser.parse_args()
    differences = Differences()
    started = time.monotonic()
    if options.what == "operations":
        for number in range(-(-options.count // STEPS)):
            with tempfile.TemporaryDirectory() as folder:
                converse(Path(folder), options.seed, number, differences, options.verbose)
    elif options.what == "grpc":
        with tempfile.TemporaryDirectory() as folder, both(Path(folder), grpc=True) as pair:
            compare_calls(pair, options.count, options.seed, differences)
    else:
        with tempfile.TemporaryDirectory() as folder, both(Path(folder)) as pair:
            compare(pair, options.what, options.count, options.seed, differences)
    print(differences.summary())
    print(f"seed {options.seed}, {time.monotonic() - started:.0f} s")
    return 1 if differences.unknown else 0


def compare(pair: Pair, what: str, count: int, seed: int, differences: Differences) -> None:
    sources: dict[str, Iterator[Sequence[Good]]] = {
        "requests": damaged_requests(seed),
        "members": odd_members(seed),
        "kinds": repeated_kinds(seed),
        "configurations": changed_configurations(seed, pair),
    }
    same_kind = what == "kinds"
    for number, exchange in zip(range(1, count + 1), sources[what], strict=False):
        for request in exchange:
            theirs, ours = pair.ask(request, keep=same_kind)
            if not differences.compare(request, theirs, ours) and what not in ("kinds", "members"):
                break
        show_progress(number, count)


def compare_calls(pair: Pair, count: int, seed: int, differences: Differences) -> None:
    for number, together in zip(range(1, count + 1), odd_calls(seed), strict=False):
        for call in together:
            theirs, ours = ask_both(pair, call)
            differences.compare(as_request(call), theirs, ours)
        show_progress(number, count)


def show_progress(number: int, count: int) -> None:
    if number % PROGRESS == 0:
        print(f"{number} of {count}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
