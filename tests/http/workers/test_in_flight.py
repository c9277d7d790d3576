"""Requests that are under way when the server exits, or their client goes."""

import json
import time
from pathlib import Path

from tests.support.front_ends import TWO_NUMBERS, as_binary, post, server


def test_a_request_in_flight_is_answered_before_the_server_exits(repository: Path) -> None:
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        pids = serving.front_ends()
        for _ in range(2):  # relayed at first; then the front ends know the model
            for connection in connections:
                connection.request("POST", "/v2/models/slow/infer", TWO_NUMBERS)
            for connection in connections:
                connection.getresponse().read()
        for connection in connections:
            connection.request("POST", "/v2/models/slow/infer", TWO_NUMBERS)
        time.sleep(0.2)  # the requests must have arrived
        serving.process.terminate()
        for connection in connections:
            response = connection.getresponse()
            assert response.status == 200
            assert json.loads(response.read())["outputs"][0]["data"] == [1.0, 2.0]
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


def test_a_request_that_is_passed_on_is_answered_before_the_server_exits(repository: Path) -> None:
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        for connection in connections:  # they do not know the model yet
            connection.request("POST", "/v2/models/slow/infer", TWO_NUMBERS)
        time.sleep(0.2)  # the requests must have arrived
        serving.process.terminate()
        for connection in connections:
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["outputs"][0]["data"]) == (200, [1.0, 2.0])
        assert serving.process.wait(timeout=20) == 0


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
        assert serving.process.wait(timeout=20) == 0
