import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import service as module
from benchmarks.places import HERE
from benchmarks.service import SCRIPTS, DeployedService, tree_memory_mb
from benchmarks.workload import Workload

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.entry_script import InferenceSpec, check_inference
from despina.deploy.home import Home
from despina.deploy.registry import Registry
from despina.errors import NotFound

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


@pytest.mark.parametrize("there", [True, False])
def test_who_does_not_wait_for_a_service_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    deleted: list[str] = []

    class Services:
        def __init__(self, home: Home, registry: Registry) -> None:
            pass

        def deploy(self, request: DeployRequest) -> None:
            pass

        def wait(self, name: str) -> None:
            raise KeyboardInterrupt

        def delete(self, name: str) -> None:
            deleted.append(name)
            if not there:
                raise NotFound("no such service")

    monkeypatch.setattr(module, "Services", Services)
    rows = np.zeros((1, 1), np.float32)
    service = DeployedService(Home(tmp_path), "direct", "m:1", Workload("m", {"x": rows}, "y", rows, 0.0), "")
    with pytest.raises(KeyboardInterrupt):
        service.start()
    assert deleted == ["direct"]
