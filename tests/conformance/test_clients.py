"""Every method of Triton's own Python HTTP clients, sync and asyncio."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.serving import serving

HERE = Path(__file__).parent


def test_every_method_of_tritons_clients_works() -> None:
    flags = ["--model-control-mode=explicit", "--load-model=*", "--allow-client-shm=true"]
    with serving(HERE / "repo_main", flags) as port:
        # In a process of its own: gevent, which the sync client is built on, does not mix with what else runs here.
        command = [sys.executable, str(HERE / "clients.py"), "--url", f"127.0.0.1:{port}"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ), check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 failed" in result.stdout
