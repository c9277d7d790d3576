"""A server with two front ends: the same answers as with one process, and what happens when a process dies."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from serving import free_port, wait_until_live

from despina.protocol import bytes_tensor

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
        for _ in range(100):
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

    def accepted_by(self, connection: http.client.HTTPConnection) -> int:
        """The process at the other end of a connection."""
        local = connection.sock.getsockname()[1]
        remote = f"{0x0100007F:08X}:{self.port:04X} {0x0100007F:08X}:{local:04X}"
        (row,) = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if remote in line]
        for pid in self.front_ends():
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == f"socket:[{row[9]}]":
                        return pid
        raise AssertionError("nobody has accepted this connection")


@contextmanager
def server(repository: Path, flags: Sequence[str], port: int | None = None) -> Iterator[Serving]:
    port = port or free_port()
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}", f"--http-port={port}"]
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


def as_json(tensors: dict[str, tuple[str, list[int], list[object]]], **more: object) -> bytes:
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
        until(lambda: len(serving.front_ends()) == 2 and before[0] not in serving.front_ends())
        until(lambda: shared_memory_of(serving.process.pid) == 4)
        replaced = serving.connections_to_both()
        for connection in replaced * 2:
            post(connection, "quick", body)
            post(connections[1], "quick", body)
        assert serving.process.poll() is None
        for connection in (*connections, *replaced):
            connection.close()


def test_front_ends_end_with_their_owner(repository: Path) -> None:
    with server(repository, []) as serving:
        pids = serving.front_ends()
        serving.process.kill()
        serving.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", serving.port))
            sock.listen()


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


def test_a_port_in_use_is_refused(repository: Path) -> None:
    with server(repository, []) as serving:
        command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}"]
        command += [f"--http-port={serving.port}", "--http-address=127.0.0.1", "--allow-metrics=false"]
        second = subprocess.run([*command, "--http-workers=2"], capture_output=True, timeout=60)
        assert second.returncode == 1
        assert b"already in use" in second.stderr
