import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from despina.deploy.supervisor.listening import PROC, has_port

pytestmark = pytest.mark.skipif(not (PROC / "net" / "tcp").exists(), reason="there is no /proc/net/tcp")

LISTENER = (
    "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
)


def test_port_belongs_to_the_process_that_listens_and_to_its_ancestors() -> None:
    words = [sys.executable, "-c", LISTENER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert has_port(child.pid, port)
        assert has_port(os.getpid(), port)
        with socket.create_server(("127.0.0.1", 0)) as ours:
            assert not has_port(child.pid, ours.getsockname()[1])
            assert has_port(os.getpid(), ours.getsockname()[1])
        child.communicate(b"\n")
    assert not has_port(child.pid, port)


def test_port_belongs_to_the_ancestors_of_an_ancestor_too() -> None:
    between = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    words = [sys.executable, "-c", between, LISTENER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert has_port(os.getpid(), port)
        child.communicate(b"\n")


def test_port_belongs_to_the_ancestor_whose_thread_started_the_process() -> None:
    between = (
        "import subprocess, sys, threading;"
        "words = [sys.executable, '-c', sys.argv[1]];"
        "threading.Thread(target=subprocess.run, args=(words,)).start()"
    )
    words = [sys.executable, "-c", between, LISTENER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert has_port(child.pid, port)
        child.communicate(b"\n")


def test_port_of_a_connection_is_nobodys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ours = socket.create_connection(("127.0.0.1", port))
        theirs, _ = listener.accept()
    with ours, theirs:
        assert not has_port(os.getpid(), port)


def test_port_that_is_only_bound_is_nobodys() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert not has_port(os.getpid(), bound.getsockname()[1])


def test_where_nothing_can_be_read_the_answer_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("despina.deploy.supervisor.listening.PROC", tmp_path)
    assert has_port(os.getpid(), 1)
