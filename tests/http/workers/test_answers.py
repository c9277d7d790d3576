"""Front ends answer as one process would."""

import http.client
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.support.front_ends import LOADED, TWO_NUMBERS, Serving, as_binary, as_json, post, server

from despina.protocol import bytes_tensor

BATCHED = """
name: "batched"
backend: "identity"
max_batch_size: 64
dynamic_batching {}
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


@pytest.mark.parametrize("count", [1, 1000, 20_000, 1_000_000])
def test_each_front_end_answers_with_the_bytes_it_was_sent(served: Serving, count: int) -> None:
    for connection in served.connections_to_both():
        for number in range(4):
            row = (np.arange(count, dtype="<f4") + number).tobytes()
            assert post(connection, "identity_fp32", *as_binary({"INPUT0": ("FP32", [1, count], row)})) == row


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


def test_bytes_tensors_keep_their_elements(served: Serving) -> None:
    elements = [b"", b"one", "zwölf".encode(), b"\x00\xff" * 500]
    for connection in served.connections_to_both():
        for number in range(3):
            wanted = [*elements, b"x" * number]
            data = bytes_tensor.encode(np.array(wanted, object))
            assert post(connection, "identity_bytes", *as_binary({"INPUT0": ("BYTES", [1, 5], data)})) == data


def test_tensors_without_elements_cross(served: Serving) -> None:
    for connection in served.connections_to_both():
        for _ in range(3):
            answer = json.loads(post(connection, "identity_fp32_nb", as_json({"INPUT0": ("FP32", [0], [])})))
            assert answer["outputs"][0]["shape"] == [0]


def test_digits_are_recognised_alike_by_both(served: Serving) -> None:
    config = json.loads(served.ask("GET", "/v2/models/digits/config")[1])
    (item,) = config["input"]
    width = int(np.prod([int(dim) for dim in item["dims"]]))
    image = np.linspace(0, 16, width).tolist()
    shape = [1, *(int(dim) for dim in item["dims"])]
    answers = set()
    for connection in served.connections_to_both():
        answers |= {post(connection, "digits", as_json({item["name"]: ("FP32", shape, image)})) for _ in range(3)}
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


def test_what_front_ends_answer_counts_in_the_owner(served: Serving) -> None:
    def counted() -> int:
        text = served.ask("GET", "/v2/models/add_sub_int32/stats")[1]
        return int(json.loads(text)["model_stats"][0]["inference_stats"]["success"]["count"])

    rows = {"INPUT0": ("INT32", [1, 16], list(range(16))), "INPUT1": ("INT32", [1, 16], [5] * 16)}
    before = counted()
    for connection in served.connections_to_both():
        for _ in range(5):
            post(connection, "add_sub_int32", as_json(rows))
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
    for pid in served.front_ends_that_listen():
        assert "onnxruntime" not in Path(f"/proc/{pid}/maps").read_text()


def test_every_front_end_asks_for_the_key(repository: Path) -> None:
    with server(repository, ["--api-key=sesame"]) as serving:
        for connection in serving.connections_to_both():
            for key, status in [("sesame", 200), ("sesame", 200), ("sesam", 401), ("", 401), ("sesame", 200)] * 2:
                connection.request("POST", "/v2/models/quick/infer", TWO_NUMBERS, {"X-API-Key": key})
                response = connection.getresponse()
                response.read()
                assert response.status == status


def test_requests_with_parameters_are_answered_as_those_without(served: Serving) -> None:
    rows = {"INPUT0": ("INT32", [1, 16], list(range(16))), "INPUT1": ("INT32", [1, 16], [5] * 16)}
    for connection in served.connections_to_both():
        plain = [post(connection, "add_sub_int32", as_json(rows)) for _ in range(3)]
        told = [post(connection, "add_sub_int32", as_json(rows, parameters={"a": "b", "c": 1.5})) for _ in range(4)]
        assert {*plain, *told} == {plain[0]}
        explained = post(connection, "add_sub_int32", as_json(rows, parameters={"despina_explain": True}))
        assert json.loads(explained)["parameters"]["batch_rows"] == 1
