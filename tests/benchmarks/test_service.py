import os
import subprocess
import sys
from pathlib import Path

from benchmarks.places import HERE
from benchmarks.service import SCRIPTS, tree_memory_mb

from despina.deploy.entry_script import InferenceSpec, check_inference

HOLDER = "import sys; held = bytes(50_000_000); held = bytearray(held); print(flush=True); sys.stdin.read()"


def test_memory_of_a_tree_has_that_of_its_children() -> None:
    before = tree_memory_mb(os.getpid())
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert tree_memory_mb(os.getpid()) - before > 40
        child.communicate()


def test_scripts_that_are_measured_could_be_deployed() -> None:
    assert SCRIPTS.is_relative_to(HERE)
    for path in Path(SCRIPTS).glob("*.py"):
        check_inference(InferenceSpec(path.name, SCRIPTS))
