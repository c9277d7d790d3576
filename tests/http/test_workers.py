"""A server with two front ends: the same answers as with one process, and what happens when a process dies."""

import asyncio
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support.serving import free_port, wait_until_live

from despina.http.workers.front_process import start_process
from despina.http.workers.held_port import share_port
from despina.http.workers.supervisor import WorkerListener, reserve_port
from despina.protocol import bytes_tensor
from despina.scheduling.outbox import Outbox
from despina.settings import Settings
from despina.telemetry.logging import LogSettings

MODELS = Path(__file__).parents[1] / "conformance" / "repo_main"
LOADED = ("identity_fp32", "identity_bytes", "identity_fp32_nb", "add_sub_int32", "digits")

SLOW = """
backend: "identity"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "execute_delay_ms" value: { string_value: "%d" } }
"""

BATCHED = """
name: "batched"
backend: "identity"
max_batch_size: 64
dynamic_batching {}
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

IMPATIENT = "import despina.http.workers.front_process as p; p.BEAT_S /= 5; import despina.cli.main as m; m.main()"
"""A server whose patience with silent front ends is a fifth of what it is."""


GRACIOUS = "import despina.http.listener as l; l.GRACE_S = 20; import despina.cli.main as m; m.main()"
"""A server that waits long for idle connections at its end, with one process."""


class Serving:
    """A server of the test's own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def front_ends(self) -> list[int]:
        """Process ids, ascending."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sorted(
            int(pid) for pid in children.split() if b"despina.http.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connections_to_both(self) -> tuple[http.client.HTTPConnection, ...]:
        """A connection to each front end, told apart by the sockets that the processes hold."""
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
                return tuple(found[pid] for pid in sorted(found))
        raise AssertionError("all connections went to one front end")

    def has_replaced(self, pid: int) -> bool:
        """Whether there are two front ends, and none of them is `pid`."""
        now = self.front_ends()  # only once: a process that is ending loses its name before its sockets
        return len(now) == 2 and pid not in now

    def front_ends_that_listen(self) -> list[int]:
        """As `front_ends`, when both have started."""
        for connection in self.connections_to_both():
            connection.close()
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
    command += ["--http-address=127.0.0.1", "--allow-metrics=false", "--http-workers=2", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until_live(process, port)
        yield Serving(process, port)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    flags = ["--model-control-mode=explicit", *(f"--load-model={name}" for name in LOADED)]
    with server(MODELS, flags) as serving:
        yield serving


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Models whose executions take 0, and 1000, milliseconds."""
    for name, delay_ms in (("quick", 0), ("slow", 1000)):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(f'name: "{name}"\n' + SLOW % delay_ms)
    return tmp_path


def post(connection: http.client.HTTPConnection, model: str, body: bytes, json_length: int = 0) -> bytes:
    headers = {"Inference-Header-Content-Length": str(json_length)} if json_length else {}
    connection.request("POST", f"/v2/models/{model}/infer", body, headers)
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    return answer[int(response.headers.get("Inference-Header-Content-Length", 0)) :]


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def as_json(tensors: Mapping[str, tuple[str, list[int], Sequence[object]]], **more: object) -> bytes:
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in tensors.items()
    ]
    return json.dumps({"inputs": described, **more}).encode()


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


# ------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("count", [1, 1000, 20_000, 1_000_000])
def test_each_front_end_answers_with_the_bytes_it_was_sent(served: Serving, count: int) -> None:
    for connection in served.connections_to_both():
        for number in range(4):
            row = (np.arange(count, dtype="<f4") + number).tobytes()
            assert post(connection, "identity_fp32", *as_binary({"INPUT0": ("FP32", [1, count], row)})) == row
        connection.close()


def test_inputs_and_outputs_are_not_mixed_up(served: Serving) -> None:
    rows = {"INPUT0": ("INT32", [1, 16], list(range(16))), "INPUT1": ("INT32", [1, 16], [5] * 16)}
    for connection in served.connections_to_both():
        for _ in range(3):
            outputs = json.loads(post(connection, "add_sub_int32", as_json(rows, id="r-1")))
            assert outputs["id"] == "r-1"
            assert [output["data"] for output in outputs["outputs"]] == [
                [value + 5 for value in range(16)],
                [value - 5 for value in range(16)],
            ]
            wanted = json.loads(post(connection, "add_sub_int32", as_json(rows, outputs=[{"name": "OUTPUT1"}])))
            assert [output["name"] for output in wanted["outputs"]] == ["OUTPUT1"]
        connection.close()


def test_bytes_tensors_keep_their_elements(served: Serving) -> None:
    elements = [b"", b"one", "zwölf".encode(), b"\x00\xff" * 500]
    for connection in served.connections_to_both():
        for number in range(3):
            wanted = [*elements, b"x" * number]
            data = bytes_tensor.encode(np.array(wanted, object))
            assert post(connection, "identity_bytes", *as_binary({"INPUT0": ("BYTES", [1, 5], data)})) == data
        connection.close()


def test_tensors_without_elements_cross(served: Serving) -> None:
    for connection in served.connections_to_both():
        for _ in range(3):
            answer = json.loads(post(connection, "identity_fp32_nb", as_json({"INPUT0": ("FP32", [0], [])})))
            assert answer["outputs"][0]["shape"] == [0]
        connection.close()


def test_digits_are_recognised_alike_by_both(served: Serving) -> None:
    config = json.loads(served.ask("GET", "/v2/models/digits/config")[1])
    (item,) = config["input"]
    width = int(np.prod([int(dim) for dim in item["dims"]]))
    image = np.linspace(0, 16, width).tolist()
    shape = [1, *(int(dim) for dim in item["dims"])]
    answers = set()
    for connection in served.connections_to_both():
        answers |= {post(connection, "digits", as_json({item["name"]: ("FP32", shape, image)})) for _ in range(3)}
        connection.close()
    assert len(answers) == 1


def test_metadata_errors_and_repository_requests_reach_the_owner(served: Serving) -> None:
    assert json.loads(served.ask("GET", "/v2/models/identity_fp32")[1])["name"] == "identity_fp32"
    assert served.ask("GET", "/v2/nothing") == (404, b'{"error":"Not Found"}')
    unknown = b'{"error":"Request for unknown model: \'none\' is not found"}'
    assert served.ask("POST", "/v2/models/none/infer", b"{}") == (404, unknown)
    assert len(json.loads(served.ask("POST", "/v2/repository/index", b"")[1])) > len(LOADED)
    for connection in served.connections_to_both():
        for _ in range(3):
            wrong = as_json({"INPUT0": ("INT32", [1, 1], [1])})
            connection.request("POST", "/v2/models/identity_fp32/infer", wrong)
            response = connection.getresponse()
            assert response.status == 400
            assert b"data-type is 'INT32', but model 'identity_fp32' expects 'FP32'" in response.read()
        connection.request("HEAD", "/v2/health/ready")
        connection.getresponse().read()
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
        connection.close()


def infer(model: str, values: list[float], shape: list[int]) -> bytes:
    body = as_json({"INPUT0": ("FP32", shape, values)})
    return b"POST /v2/models/%b/infer HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (model.encode(), len(body), body)


def status_of_answer(client: socket.socket) -> int:
    """That of the next answer, of which all is read, and no more."""
    response = http.client.HTTPResponse(client)
    response.begin()
    response.read()
    return response.status


def test_a_request_that_comes_in_pieces_is_relayed_whole(served: Serving) -> None:
    good = infer("identity_fp32", [1] * 100, [1, 100])
    wrong, unknown = infer("identity_fp32", [1] * 100, [100]), infer("nobody", [1] * 100, [1, 100])
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        for request, status in ((good, 200), (wrong, 400), (good, 200), (unknown, 404), (good, 200)):
            client.sendall(request[:150])
            time.sleep(0.02)
            client.sendall(request[150:])
            assert status_of_answer(client) == status


def test_what_was_relayed_with_what_came_before_is_not_answered_twice(served: Serving) -> None:
    good = infer("identity_fp32", [1] * 100, [1, 100])
    wrong = infer("identity_fp32", [1] * 100, [100])
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(good)
        assert status_of_answer(client) == 200
        client.sendall(wrong + good + wrong + wrong + good)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < 5 or not answer.endswith(b"}]}"):
            answer += client.recv(1 << 16)
        client.sendall(good + b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while received := client.recv(1 << 16):
            answer += received
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"200"]


@pytest.mark.parametrize("piece", [1 << 20, 1000, 100])
def test_pipelined_requests_are_answered_in_order_whichever_way_each_goes(served: Serving, piece: int) -> None:
    good = [infer("identity_fp32", [number] * 100, [1, 100]) for number in range(4)]
    wrong, unknown = infer("identity_fp32", [1] * 100, [100]), infer("nobody", [1] * 100, [1, 100])
    get, last = (b"GET /v2/health/live HTTP/1.1\r\n%b\r\n" % more for more in (b"", b"Connection: close\r\n"))
    data = b"".join([good[0], wrong, good[1], unknown, get, good[2], wrong, unknown, good[3], last])
    answer = b""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), piece):
            client.sendall(data[start : start + piece])
            if piece < 1 << 20:
                time.sleep(0.001)
        while received := client.recv(1 << 16):
            answer += received
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]
    assert statuses == [200, 400, 200, 404, 200, 200, 400, 404, 200, 200]
    firsts = [float(first) for first in re.findall(rb'"data":\[([\d.]+)', answer)]
    assert firsts == [0, 1, 2, 3]


def test_an_unloaded_model_is_unknown_to_both_at_once(served: Serving) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 1], [1.0])})
    connections = served.connections_to_both()
    for round_number in range(3):
        assert served.ask("POST", "/v2/repository/models/identity_fp32/load", b"{}")[0] == 200
        for connection in connections:
            for _ in range(2 + round_number):
                post(connection, "identity_fp32", body)
        assert served.ask("POST", "/v2/repository/models/identity_fp32/unload", b"{}")[0] == 200
        for connection in connections:
            connection.request("POST", "/v2/models/identity_fp32/infer", body)
            response = connection.getresponse()
            assert b"Request for unknown model: 'identity_fp32'" in response.read()
            assert response.status == 404
    assert served.ask("POST", "/v2/repository/models/identity_fp32/load", b"{}")[0] == 200
    for connection in connections:
        connection.close()


def test_what_front_ends_answer_counts_in_the_owner(served: Serving) -> None:
    def counted() -> int:
        text = served.ask("GET", "/v2/models/add_sub_int32/stats")[1]
        return int(json.loads(text)["model_stats"][0]["inference_stats"]["success"]["count"])

    rows = {"INPUT0": ("INT32", [1, 16], list(range(16))), "INPUT1": ("INT32", [1, 16], [5] * 16)}
    before = counted()
    for connection in served.connections_to_both():
        for _ in range(5):
            post(connection, "add_sub_int32", as_json(rows))
        connection.close()
    assert counted() == before + 10


def test_requests_of_one_moment_run_together_and_each_gets_its_answer(tmp_path: Path) -> None:
    (tmp_path / "batched" / "1").mkdir(parents=True)
    (tmp_path / "batched" / "config.pbtxt").write_text(BATCHED)
    with server(tmp_path, []) as serving:
        clients = [http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20) for _ in range(12)]
        for client in clients:
            post(client, "batched", as_json({"INPUT0": ("FP32", [1, 2], [0.5, 0.5])}))
        front_ends = serving.front_ends()
        before = json.loads(serving.ask("GET", "/v2/models/batched/stats")[1])["model_stats"][0]
        for pid in front_ends:
            os.kill(pid, signal.SIGSTOP)
        for number, client in enumerate(clients):
            body = as_json({"INPUT0": ("FP32", [1, 2], [number + 0.5, -number])}, id=f"client {number}")
            client.request("POST", "/v2/models/batched/infer", body)
        for pid in front_ends:
            os.kill(pid, signal.SIGCONT)
        for number, client in enumerate(clients):
            answer = json.loads(client.getresponse().read())
            assert answer["id"] == f"client {number}"
            assert answer["outputs"][0]["data"] == [number + 0.5, -number]
            client.close()
        after = json.loads(serving.ask("GET", "/v2/models/batched/stats")[1])["model_stats"][0]
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 12
    assert after["inference_count"] - before["inference_count"] == 12
    assert after["execution_count"] - before["execution_count"] <= 2 * len(front_ends)


def test_front_ends_do_without_onnxruntime(served: Serving) -> None:
    for pid in served.front_ends():
        assert "onnxruntime" not in Path(f"/proc/{pid}/maps").read_text()


# ------------------------------------------------------------------------------------------------ reload under load


def test_a_reload_disturbs_no_request(repository: Path) -> None:
    flags = ["--model-control-mode=explicit", "--load-model=quick"]
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    with server(repository, flags) as serving:
        stop = threading.Event()
        failures: list[BaseException] = []
        counts = [0, 0]

        def run(index: int, connection: http.client.HTTPConnection) -> None:
            try:
                while not stop.is_set():
                    assert json.loads(post(connection, "quick", body))["outputs"][0]["data"] == [1.0, 2.0]
                    counts[index] += 1
            except BaseException as failure:
                failures.append(failure)

        connections = serving.connections_to_both()
        threads = [threading.Thread(target=run, args=each) for each in enumerate(connections)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            reached = [count + 20 for count in counts]
            until(lambda reached=reached: failures or all(map(int.__ge__, counts, reached)))
            (repository / "quick" / "config.pbtxt").touch()
            assert serving.ask("POST", "/v2/repository/models/quick/load", b"{}")[0] == 200
        stop.set()
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()
        assert not failures


# ----------------------------------------------------------------------------------------------- ends of processes


def shared_memory_of(pid: int) -> int:
    """Arenas that a process has open."""
    return sum("memfd:despina-" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def test_a_killed_front_end_is_replaced_and_the_other_goes_on(repository: Path) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        for connection in connections * 2:
            post(connection, "quick", body)
        before = serving.front_ends()
        connections[0].request("POST", "/v2/models/slow/infer", body)  # under way when its front end dies
        os.kill(before[0], signal.SIGKILL)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            connections[0].getresponse()
        post(connections[1], "quick", body)
        until(lambda: serving.has_replaced(before[0]))
        until(lambda: shared_memory_of(serving.process.pid) == 4)
        replaced = serving.connections_to_both()
        for connection in replaced * 2:
            post(connection, "quick", body)
            post(connections[1], "quick", body)
        assert serving.process.poll() is None
        for connection in (*connections, *replaced):
            connection.close()


def test_front_ends_end_with_their_owner_even_those_that_hang(repository: Path) -> None:
    with server(repository, []) as serving:
        pids = serving.front_ends_that_listen()
        os.kill(pids[0], signal.SIGSTOP)
        serving.process.kill()
        serving.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", serving.port))
            sock.listen()


def test_a_front_end_that_hangs_is_replaced_and_one_that_pauses_is_not(repository: Path) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    with server(repository, [], program=("-c", IMPATIENT)) as serving:
        connections = serving.connections_to_both()
        hanging, pausing = serving.front_ends()
        for pid in (hanging, pausing):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)  # several beats
        os.kill(pausing, signal.SIGCONT)
        until(lambda: serving.has_replaced(hanging))
        assert pausing in serving.front_ends()
        post(connections[1], "quick", body)
        replaced = serving.connections_to_both()
        for connection in replaced:
            post(connection, "quick", body)
        for connection in (*connections, *replaced):
            connection.close()


def test_a_front_end_that_hangs_does_not_keep_the_server_from_exiting(repository: Path) -> None:
    with server(repository, [], program=("-c", IMPATIENT)) as serving:
        os.kill(serving.front_ends_that_listen()[0], signal.SIGSTOP)
        serving.process.terminate()
        assert serving.process.wait(timeout=20) == 0


def test_a_front_end_that_starts_while_the_server_stops_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(model_repository=(), http_address="127.0.0.1", http_port=free_port(), http_workers=2)
    server: Any = SimpleNamespace(settings=settings, logging=LogSettings(), outbox=Outbox())
    application: Any = None

    async def run(reserved: socket.socket) -> str:
        listener = WorkerListener(server, reserved, application)

        async def start_late(descriptors: Sequence[int]) -> asyncio.subprocess.Process:
            listener._stopping.set()  # what `stop` begins with
            return await start_process(descriptors)

        monkeypatch.setattr("despina.http.workers.supervisor.start_process", start_late)
        async with asyncio.timeout(20):
            return await listener._run_one(lambda: None)

    with reserve_port(settings) as reserved:
        share_port(reserved)
        assert asyncio.run(run(reserved)) == "ended with 0"


def arrived(process: subprocess.Popen[bytes], log: bytearray) -> bytearray:
    """`log`, and what has come on the standard error output since."""
    assert process.stderr is not None
    log += process.stderr.read() or b""
    return log


def test_a_front_end_that_cannot_be_started_is_tried_again(repository: Path) -> None:
    with server(repository, []) as serving:
        pid = serving.front_ends_that_listen()[0]
        soft, hard = resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        os.kill(pid, signal.SIGKILL)
        assert serving.process.stderr is not None
        os.set_blocking(serving.process.stderr.fileno(), False)
        log = bytearray()
        until(lambda: b"could not be started (Too many open files)" in arrived(serving.process, log))
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        until(lambda: len(serving.front_ends()) == 2)
        for connection in serving.connections_to_both():
            connection.close()
        until(lambda: shared_memory_of(serving.process.pid) == 4)
        serving.process.terminate()
        assert serving.process.wait(timeout=20) == 0


def test_what_a_front_end_inherits_is_not_kept_open_by_its_owner(repository: Path) -> None:
    with server(repository, []) as serving:
        owner, front_end = (
            {os.readlink(descriptor) for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
            for pid in (serving.process.pid, serving.front_ends_that_listen()[0])
        )
        assert not {link for link in owner & front_end if link.startswith("socket:")}


def test_a_request_in_flight_is_answered_before_the_server_exits(repository: Path) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        pids = serving.front_ends()
        for connection in connections:
            post(connection, "slow", body)  # relayed
            post(connection, "slow", body)  # the front end knows the model now
            connection.request("POST", "/v2/models/slow/infer", body)
        time.sleep(0.2)  # the requests must have arrived
        serving.process.terminate()
        for connection in connections:
            response = connection.getresponse()
            assert response.status == 200
            assert json.loads(response.read())["outputs"][0]["data"] == [1.0, 2.0]
            connection.close()
        assert serving.process.wait(timeout=20) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_client_that_hangs_up_frees_its_memory(repository: Path) -> None:
    body, json_length = as_binary({"INPUT0": ("FP32", [1, 100_000], bytes(400_000))})
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        headers = {"Inference-Header-Content-Length": str(json_length)}
        for connection in connections:
            post(connection, "quick", body, json_length)
            connection.request("POST", "/v2/models/slow/infer", body, headers)
            connection.close()
        again = serving.connections_to_both()
        for connection in again:
            assert post(connection, "quick", body, json_length) == bytes(400_000)
            assert post(connection, "slow", body, json_length) == bytes(400_000)
            connection.close()


def test_a_request_that_is_relayed_is_answered_before_the_server_exits(repository: Path) -> None:
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        for connection in connections:
            connection.request("POST", "/v2/models/slow/generate", b'{"INPUT0": [1.5]}')
        time.sleep(0.2)  # the requests must have arrived
        serving.process.terminate()
        for connection in connections:
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["OUTPUT0"]) == (200, 1.5)
            connection.close()
        assert serving.process.wait(timeout=20) == 0


def starting(repository: Path, address: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}", f"--http-port={port}"]
    command += [f"--http-address={address}", "--allow-metrics=false", "--http-workers=2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_port_in_use_is_refused(repository: Path) -> None:
    with server(repository, []) as serving:
        second = starting(repository, "127.0.0.1", serving.port)
        log = second.communicate(timeout=60)[1]
        assert second.returncode == 1
        assert b"already in use" in log


@pytest.mark.parametrize("other", ["127.0.0.1", "0.0.0.0"])
def test_of_two_servers_that_start_together_one_gets_the_port(repository: Path, other: str) -> None:
    port = free_port()
    both = [starting(repository, address, port) for address in ("127.0.0.1", other)]
    try:
        until(lambda: any(process.poll() is not None for process in both))
        (second,) = [process for process in both if process.poll() is not None]
        (first,) = [process for process in both if process is not second]
        log = second.communicate(timeout=60)[1]
        assert second.returncode == 1
        assert b"already in use" in log
        wait_until_live(first, port)
    finally:
        for process in both:
            process.terminate()
            process.communicate(timeout=30)


def test_a_port_is_free_at_once_when_its_server_is_killed(repository: Path) -> None:
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        serving.process.kill()
        serving.process.wait()
        with server(repository, [], serving.port) as again:
            assert again.ask("GET", "/v2/health/ready")[0] == 200
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/v2/models/quick/infer", 200), ("GET", "/v2/health/ready", 503)]
)
def test_an_idle_connection_gets_one_more_answer_at_the_end_and_nobody_waits_longer(
    repository: Path, method: str, path: str, status: int
) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])}) if method == "POST" else None
    with server(repository, ["--http-workers=1"], program=("-c", GRACIOUS)) as serving:
        connections = [http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20) for _ in range(3)]
        for connection in connections:
            connection.connect()
        post(connections[0], "quick", as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])}))
        serving.process.terminate()
        until(lambda: not listens(serving.port))
        began = time.monotonic()
        for connection in connections:
            connection.request(method, path, body)
            response = connection.getresponse()
            response.read()
            assert (response.status, response.getheader("connection")) == (status, "close")
        assert serving.process.wait(timeout=15) == 0
        assert time.monotonic() - began < 15


def test_a_server_without_connections_ends_at_once(repository: Path) -> None:
    with server(repository, ["--http-workers=1"], program=("-c", GRACIOUS)) as serving:
        serving.process.terminate()
        assert serving.process.wait(timeout=15) == 0


# ------------------------------------------------------------------------------------- settings that change, and keys


def test_what_is_logged_changes_in_every_front_end_also_in_later_ones(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})

    def logged(pid: int) -> int:
        """Requests of the lane in the log, by front end."""
        return sum(f" {pid} front_lane.py" in line for line in log.read_text().splitlines())

    with server(repository, [f"--log-file={log}"]) as serving:
        for level, expected in ((1, 1), (0, 0), (1, 1)):
            assert serving.ask("POST", "/v2/logging", b'{"log_verbose_level":%d}' % level)[0] == 200
            connections = serving.connections_to_both()
            for pid, connection in zip(serving.front_ends(), connections, strict=True):
                post(connection, "quick", body)  # relayed, if the front end does not know the model yet
                before = logged(pid)
                post(connection, "quick", body)
                assert logged(pid) - before == expected
                connection.close()
        pid = serving.front_ends_that_listen()[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: serving.has_replaced(pid))
        connections = serving.connections_to_both()
        for pid, connection in zip(serving.front_ends(), connections, strict=True):
            post(connection, "quick", body)
            post(connection, "quick", body)
            assert logged(pid)
            connection.close()


def test_what_comes_behind_the_last_request_of_a_connection_is_no_head_that_is_too_long(repository: Path) -> None:
    last = b"GET /v2/models/quick/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server(repository, []) as serving:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as sock:
                sock.sendall(last + bytes(600_000))
                assert b"".join(iter(lambda: sock.recv(1 << 16), b"")).startswith(b"HTTP/1.1 200 ")


def test_every_request_is_logged_once_wherever_it_is_answered(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    good = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    bad = as_json({"INPUT0": ("INT32", [1, 2], [1, 2])})
    with server(repository, [f"--log-file={log}", "--log-verbose=1"]) as serving:
        connections = serving.connections_to_both()
        for connection in connections:
            for body, status in [(good, 200), (good, 200), (bad, 400), (good, 200), (bad, 400)]:
                connection.request("POST", "/v2/models/quick/infer", body)
                response = connection.getresponse()
                response.read()
                assert response.status == status
            connection.close()
    lines = [line for line in log.read_text().splitlines() if "HTTP request: POST /v2/models/quick/infer" in line]
    assert len(lines) == 10
    assert any("front_lane.py" in line for line in lines)
    assert any(" lane.py" in line for line in lines)


def test_tracing_starts_and_ends_for_requests_of_every_front_end_also_of_later_ones(
    repository: Path, tmp_path: Path
) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    trace = tmp_path / "trace"

    def ask_both(serving: Serving) -> None:
        for connection in serving.connections_to_both():
            for _ in range(3):
                post(connection, "quick", body)
            connection.close()

    with server(repository, [f"--trace-config=triton,file={trace}"]) as serving:
        ask_both(serving)
        on = b'{"trace_level":["TIMESTAMPS"],"trace_rate":"1"}'
        assert serving.ask("POST", "/v2/models/quick/trace/setting", on)[0] == 200
        ask_both(serving)
        pid = serving.front_ends_that_listen()[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: serving.has_replaced(pid))
        ask_both(serving)
        assert serving.ask("POST", "/v2/models/quick/trace/setting", b'{"trace_level":["OFF"]}')[0] == 200
        ask_both(serving)
    traced = {entry["id"] for entry in json.loads(trace.read_text()) if entry.get("model_name") == "quick"}
    assert len(traced) == 12


def test_every_front_end_asks_for_the_key(repository: Path) -> None:
    body = as_json({"INPUT0": ("FP32", [1, 2], [1.0, 2.0])})
    with server(repository, ["--api-key=sesame"]) as serving:
        for connection in serving.connections_to_both():
            for key, status in [("sesame", 200), ("sesame", 200), ("sesam", 401), ("", 401), ("sesame", 200)] * 2:
                connection.request("POST", "/v2/models/quick/infer", body, {"X-API-Key": key})
                response = connection.getresponse()
                response.read()
                assert response.status == status
            connection.close()
