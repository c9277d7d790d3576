import logging
import resource
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from despina.http.open_files import LEFT, PAUSE_S, OpenFiles


def transport(number: int | None) -> Any:
    sock = None if number is None else SimpleNamespace(fileno=lambda: number)
    return SimpleNamespace(get_extra_info={"socket": sock}.get)


def test_the_last_connections_are_warned_about_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    now = 1000.0
    files = OpenFiles(lambda: now)
    with caplog.at_level(logging.WARNING):
        for number in (None, 10, limit - LEFT - 1):
            files.connected(transport(number))
        assert not caplog.records
        for _ in range(3):
            files.connected(transport(limit - LEFT))
        assert len(caplog.records) == 1
        now += PAUSE_S
        files.connected(transport(limit - 1))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"the limit of {limit} open files is reached"
    ] * 2


def test_a_connection_without_a_limit_in_sight_is_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    mine, other = socket.socketpair()
    with mine, other:
        OpenFiles().connected(SimpleNamespace(get_extra_info={"socket": mine}.get))  # type: ignore[arg-type]
    assert not caplog.records


def test_the_limit_is_raised_as_far_as_it_goes() -> None:
    code = (
        "import resource as r; from despina.http.open_files import allow_many;"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 100)); allow_many(); print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"(100, 100)\n"
