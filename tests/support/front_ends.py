"""A server with two front ends, and requests to each of them."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from tests.support.asking import ask
from tests.support.serving import free_port, wait_until_live

LOADED = ("identity_fp32", "identity_bytes", "identity_fp32_nb", "add_sub_int32", "digits")
"""What the fixture `served` has loaded."""

IMPATIENT = "import despina.http.workers.front_process as p; p.BEAT_S /= 10; import despina.cli.main as m; m.main()"
"""A server whose patience with silent front ends is a tenth of what it is."""


class Serving:
    """A server of the test's own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, connections: ExitStack) -> None:
        self.process = process
        self.port = port
        self._connections = connections

    def front_ends(self) -> list[int]:
        """Process ids, ascending."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sorted(
            int(pid) for pid in children.split() if b"despina.http.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        status, _, answer = ask(self.port, method, path, body)
        return status, answer

    def connections_to_both(self) -> tuple[http.client.HTTPConnection, ...]:
        """A connection to each front end, told apart by the sockets that the processes hold. They are closed with the
        server."""
        found: dict[int, http.client.HTTPConnection] = {}
        end = time.monotonic() + 20
        while time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            connection.request("GET", "/v2/health/live")
            connection.getresponse().read()
            owner = self.accepted_by(connection)
            if owner in found:
                connection.close()
            else:
                found[owner] = connection
            if len(found) == 2:
                return tuple(self._connections.enter_context(closing(found[pid])) for pid in sorted(found))
        raise AssertionError("all connections went to one front end")

    def hang_up(self) -> None:
        """Close all connections that `connections_to_both` gave out."""
        self._connections.close()

    def has_replaced(self, pid: int) -> bool:
        """Whether there are two front ends, and none of them is `pid`."""
        now = self.front_ends()  # only once: a process that is ending loses its name before its sockets
        return len(now) == 2 and pid not in now

    def front_ends_that_listen(self) -> list[int]:
        """As `front_ends`, when both have started."""
        self.connections_to_both()
        return self.front_ends()

    def accepted_by(self, connection: http.client.HTTPConnection) -> int:
        """The process at the other end of a connection."""
        local = connection.sock.getsockname()[1]
        remote = f"{0x0100007F:08X}:{self.port:04X} {0x0100007F:08X}:{local:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if remote in line]
        (inode,) = {row[9] for row in rows} - {"0"}  # a row may come twice while the table changes
        for pid in self.front_ends():
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == f"socket:[{inode}]":
                        return pid
        raise AssertionError("nobody has accepted this connection")


@contextmanager
def server(
    repository: Path, flags: Sequence[str], port: int | None = None, program: Sequence[str] = ("-m", "despina")
) -> Iterator[Serving]:
    port = port or free_port()
    command = [sys.executable, *program, "serve", f"--model-repository={repository}", f"--http-port={port}"]
    command += ["--http-address=127.0.0.1", "--allow-metrics=false", "--allow-grpc=false", "--http-workers=2", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until_live(process, port)
        with ExitStack() as connections:
            yield Serving(process, port, connections)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def post(connection: http.client.HTTPConnection, model: str, body: bytes, json_length: int = 0) -> bytes:
    headers = {"Inference-Header-Content-Length": str(json_length)} if json_length else {}
    connection.request("POST", f"/v2/models/{model}/infer", body, headers)
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    return answer[int(response.headers.get("Inference-Header-Content-Length", 0)) :]


def as_json(tensors: Mapping[str, tuple[str, list[int], Sequence[object]]], **more: object) -> bytes:
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in tensors.items()
    ]
    return json.dumps({"inputs": described, **more}).encode()


TWO_NUMBERS = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
"""A request to `quick` and `slow`."""


def as_binary(tensors: dict[str, tuple[str, list[int], bytes]]) -> tuple[bytes, int]:
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, (datatype, shape, data) in tensors.items()
    ]
    head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    return head + b"".join(data for _, _, data in tensors.values()), len(head)


def until(condition) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
