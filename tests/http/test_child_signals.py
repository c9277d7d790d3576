"""A signal for every process of a group is for the server to follow, also while its children start."""

import subprocess
import sys

import pytest

PROGRAM = """
import runpy, signal, sys

class Imports:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            ignored = [signal.getsignal(number) is signal.SIG_IGN for number in (signal.SIGTERM, signal.SIGINT)]
            sys.exit(0 if all(ignored) else 3)

sys.meta_path.insert(0, Imports())
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "what_takes_time"),
    [
        ("despina.http.workers", "despina.http.workers.front_end"),
        ("despina_backends.process", "despina_backends.process.child"),
    ],
)
def test_signals_are_ignored_before_anything_large_is_imported(module: str, what_takes_time: str) -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM, module, what_takes_time], check=False).returncode == 0
