import errno
import os
import socket

import pytest

from despina.deploy.supervisor.commands import check_port
from despina.errors import InvalidArgument


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EADDRINUSE, "is taken by another process"),
        (errno.EACCES, r"cannot be had \(Permission denied\)"),
    ],
)
def test_port_that_cannot_be_had_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    def bind(one: socket.socket, address: tuple[str, int]) -> None:
        raise OSError(number, os.strerror(number))

    check_port(0)
    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(InvalidArgument, match=f"port 80 {why}; choose another one"):
        check_port(80)
