"""The real thing: gunicorn, worker processes, signals."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import asking
from tests.support.serving import free_port

COMMAND = [sys.executable, "-c", "from despina.cli.score import score; score()", "--entry-script", "score.py"]
PIDS = "import os\ndef init(): pass\ndef run(data): return os.getpid()\n"


def ask(port: int, path: str = "/score", body: bytes | None = b"") -> tuple[int, bytes]:
    status, _, answer = asking.ask(port, "GET" if body is None else "POST", path, body)
    return status, answer


@contextmanager
def served(
    folder: Path, script: str, *arguments: str, **environment: str
) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A running server: its port, and its process after the first worker is ready (or after it ended)."""
    (folder / "score.py").write_text(script)
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for_line(process, "ready, scoring timeout")
        yield port, process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """Reads the log up to a line with that text, or to its end."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            break
    return seen


def test_worker_count_gives_that_many_processes(tmp_path: Path) -> None:
    with served(tmp_path, PIDS, WORKER_COUNT="2") as (port, process):
        wait_for_line(process, "ready, scoring timeout")
        pids: set[bytes] = set()
        for _ in range(2000):  # the kernel gives requests to whichever worker wakes first
            pids.add(ask(port)[1])
            if len(pids) == 2:
                break
        assert len(pids) == 2
        assert str(process.pid).encode() not in pids


def test_clients_do_not_say_which_part_of_the_path_counts(tmp_path: Path) -> None:
    with served(tmp_path, PIDS) as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/elsewhere/score", headers={"SCRIPT_NAME": "/elsewhere"})
        assert connection.getresponse().status == 404
        connection.close()


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    with served(tmp_path, PIDS) as (port, process):
        first = int(ask(port)[1])
        os.kill(first, signal.SIGKILL)
        wait_for_line(process, "ready, scoring timeout")
        assert int(ask(port)[1]) != first


def test_worker_that_dies_in_a_request_closes_the_connection(tmp_path: Path) -> None:
    with served(tmp_path, "import os\ndef init(): pass\ndef run(data): os._exit(1)\n") as (port, process):
        with pytest.raises(http.client.RemoteDisconnected):
            ask(port)
        wait_for_line(process, "ready, scoring timeout")
        assert ask(port, "/", None) == (200, b"Healthy")


def test_failing_init_ends_the_server_and_shows_the_model_directory(tmp_path: Path) -> None:
    (tmp_path / "models" / "triton" / "m").mkdir(parents=True)
    (tmp_path / "models" / "triton" / "m" / "labels.txt").write_text("")
    (tmp_path / "score.py").write_text("def init(): open('labels.txt')\ndef run(data): pass\n")
    done = subprocess.run(
        [*COMMAND, "--port", str(free_port()), "--model-dir", "models"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "User's init function failed" in done.stdout
    assert "FileNotFoundError: [Errno 2] No such file or directory: 'labels.txt'" in done.stdout
    assert "            labels.txt\n" in done.stdout


def test_model_directory_reaches_the_script(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    script = "import os\ndef init(): pass\ndef run(data): return os.environ['AZUREML_MODEL_DIR']\n"
    with served(tmp_path, script, "--model-dir", "models") as (port, _):
        assert json.loads(ask(port)[1]) == str(tmp_path / "models")


def test_large_and_chunked_bodies_arrive_whole(tmp_path: Path) -> None:
    with served(tmp_path, "def init(): pass\ndef run(data): return len(data)\n") as (port, _):
        assert ask(port, body=b"x" * 5_000_000) == (200, b"5000000")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/score", iter([b"x" * 1000] * 10), encode_chunked=True)
        assert connection.getresponse().read() == b"10000"
        connection.close()


def test_second_port_answers_probes(tmp_path: Path) -> None:
    health = free_port()
    with served(tmp_path, PIDS, "--health-port", str(health)):
        assert ask(health, "/", None) == (200, b"Healthy")


def test_prints_of_the_script_are_in_the_log_at_once(tmp_path: Path) -> None:
    script = "def init(): pass\ndef run(data): print('scored', data)\n"
    with served(tmp_path, script, PYTHONUNBUFFERED="") as (port, process):
        ask(port, body=b"seven")
        assert wait_for_line(process, "scored seven")[-1] == "scored seven\n"


def test_lines_for_the_server_a_script_was_written_for_are_in_the_log(tmp_path: Path) -> None:
    script = "import logging\ndef init(): pass\ndef run(data): logging.getLogger('azmlinfsrv').info('scored')\n"
    with served(tmp_path, script) as (port, process):
        ask(port)
        assert wait_for_line(process, "scored")[-1].endswith(" azmlinfsrv - scored\n")


def test_preloaded_script_is_initialised_once_before_its_workers(tmp_path: Path) -> None:
    script = "import os\ndef init():\n    global pid\n    pid = os.getpid()\ndef run(data): return [pid, os.getpid()]\n"
    with served(tmp_path, script, WORKER_PRELOAD="true") as (port, process):
        wait_for_line(process, "Booting worker")
        pid, worker = json.loads(ask(port)[1])
        assert pid == process.pid != worker


def test_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    script = "import time\ndef init(): pass\ndef run(data):\n    if data: time.sleep(60)\n    return 'here'\n"
    with served(tmp_path, script, WORKER_TIMEOUT="1") as (port, process):
        assert ask(port, body=b"hang")[0] == 500
        wait_for_line(process, "ready, scoring timeout")
        assert ask(port) == (200, b'"here"')


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    with served(tmp_path, PIDS) as (port, process):
        descriptor = os.pidfd_open(int(ask(port)[1]))
        process.kill()
        assert select.select([descriptor], [], [], 30)[0] == [descriptor]
        os.close(descriptor)


def test_what_coroutines_left_running_ends_with_the_worker(tmp_path: Path) -> None:
    script = (
        "import asyncio\nasync def stay():\n    try: await asyncio.sleep(60)\n    finally: print('went')\n"
        "async def init():\n    global task\n    task = asyncio.create_task(stay())\n    await asyncio.sleep(0)\n"
        "def run(data): pass\n"
    )
    with served(tmp_path, script) as (_, process):
        process.terminate()
        assert wait_for_line(process, "went")[-1] == "went\n"


def test_term_ends_it_and_frees_the_port(tmp_path: Path) -> None:
    with served(tmp_path, PIDS) as (port, process):
        process.terminate()
        assert process.wait(30) == 0
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
