"""A home with one model, services in it, and the processes of a service."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.asking import ask

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.folder import ServiceFolder
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry
from despina.deploy.running import guard_pid
from despina.deploy.service import ServiceState
from despina.deploy.services import Services

ANSWER = "import os\ndef init(): pass\ndef run(data): return {answer!r}\n"

PID = "import os\ndef init(): pass\ndef run(data): return os.getpid()\n"


class Bench:
    """A home with one model, and what the tests do over and over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = Home(root / "home")
        self.home.directory.mkdir()
        self.registry = Registry(self.home)
        self.services = Services(self.home, self.registry)
        (root / "model.txt").write_text("weights")
        self.registry.register(ModelDescription("m"), root / "model.txt")

    def deploy(self, script: str, name: str = "svc", workers: int | str = 1, **fields: Any) -> ServiceState:
        inference = replace(
            self.script(script), environment=EnvironmentSpec("e", variables={"WORKER_COUNT": str(workers)})
        )
        self.services.deploy(DeployRequest(name, ["m"], DeploymentConfig(**fields), inference, overwrite=True))
        return self.services.wait(name)

    def script(self, text: str) -> InferenceSpec:
        """An entry script in a source directory of its own."""
        source = self.root / f"source-{len(list(self.root.iterdir()))}"
        source.mkdir()
        (source / "score.py").write_text(text)
        return InferenceSpec("score.py", source)

    def folder(self, name: str = "svc") -> ServiceFolder:
        return ServiceFolder(self.home.services / name)

    def ask(self, path: str = "/score", body: str | None = "", name: str = "svc", key: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        port = self.services.get(name)[0].port
        status, _, answer = ask(port, "GET" if body is None else "POST", path, body, headers)
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, answer.decode()


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """For what the kernel and other processes do in their own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def tree(pid: int) -> list[int]:
    return [pid, *(one for child in children(pid) for one in tree(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes(bench: Bench) -> list[int]:
    pid = guard_pid(bench.folder())
    assert pid is not None
    return tree(pid)


def gone(pids: list[int]) -> None:
    """For services that no command can end any more; the first process is the guard, which takes the others along."""
    try:
        eventually(lambda: not any(alive(pid) for pid in pids))
    finally:
        if alive(pids[0]):
            os.kill(pids[0], signal.SIGKILL)


SLEEPING = "import time\ndef init(): time.sleep(60)\ndef run(data): pass\n"
WAITING = (
    "import pathlib, time\ndef init():\n    while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    "def run(data): return 'late'\n"
)
