"""A server to be fuzzed: a process of its own, whose log is read afterwards."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus import MODELS, REPOSITORY
from tests.fuzz.findings import Findings
from tests.support.serving import running

_BAD_LINES = ("Traceback", "unexpected failure", "Exception in")


@dataclass(frozen=True, slots=True)
class Target:
    """A running server: its port, its process, where its log goes."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, method: str, path: str, document: object = None) -> int:
        """The status of an ordinary request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(document) if document is not None else None)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def restore(self) -> None:
        """Undo what requests to the control endpoints may have changed."""
        quiet = {"log_info": False, "log_warning": False, "log_error": True, "log_verbose_level": 0}
        self.ask("POST", "/v2/logging", quiet)
        self.ask("POST", "/v2/trace/setting", {"trace_level": ["OFF"]})
        for family in ("systemsharedmemory", "cudasharedmemory"):
            self.ask("POST", f"/v2/{family}/unregister", {})
        for name in MODELS:
            self.ask("POST", f"/v2/models/{name}/trace/setting", {"trace_level": None})
            if self.ask("GET", f"/v2/models/{name}/ready") != 200:
                self.ask("POST", f"/v2/repository/models/{name}/load", {})

    def check(self, findings: Findings) -> None:
        """It still serves every model, and nothing it did not expect is in its log."""
        if self.process.poll() is not None:
            findings.add(f"the server ended with {self.process.returncode}", self.log.read_bytes()[-2000:])
            return
        self.restore()
        for path in ("/v2/health/live", "/v2/health/ready", *(f"/v2/models/{name}/ready" for name in MODELS)):
            status = self.ask("GET", path)
            if status != 200:
                findings.add(f"{path} is {status} afterwards")
        lines = self.log.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if any(text in line for text in _BAD_LINES):
                findings.add(f"in the log: {line[-100:]}", "\n".join(lines[number : number + 60]).encode())


@contextmanager
def fuzz_target(folder: Path, http_workers: int = 1) -> Iterator[Target]:
    """A server on the recorded repository, with so many HTTP processes; `folder` is for its log and its traces."""
    flags = ["--allow-metrics=false", "--allow-client-shm=true", f"--trace-config=triton,file={folder / 'trace'}"]
    flags += [f"--http-workers={http_workers}", "--model-control-mode=explicit"]
    flags += [f"--load-model={name}" for name in MODELS]
    log = folder / "log"
    with running(REPOSITORY, flags, log) as (process, port):
        target = Target(port, process, log)
        target.restore()
        yield target
