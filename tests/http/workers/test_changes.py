"""What changes in the owner, models and settings, changes in every front end, also in those that come later."""

import http.client
import json
import os
import signal
import threading
from pathlib import Path

from tests.support.front_ends import TWO_NUMBERS, Serving, as_json, post, server, until


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


def test_a_reload_disturbs_no_request(repository: Path) -> None:
    flags = ["--model-control-mode=explicit", "--load-model=quick"]
    with server(repository, flags) as serving:
        stop = threading.Event()
        failures: list[BaseException] = []
        counts = [0, 0]

        def run(index: int, connection: http.client.HTTPConnection) -> None:
            try:
                while not stop.is_set():
                    assert json.loads(post(connection, "quick", TWO_NUMBERS))["outputs"][0]["data"] == [1.0, 2.0]
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
        assert not failures


def test_what_is_logged_changes_in_every_front_end_also_in_later_ones(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def logged(pid: int) -> int:
        """Requests of the lane in the log, by front end."""
        return sum(f" {pid} front_lane.py" in line for line in log.read_text().splitlines())

    with server(repository, [f"--log-file={log}"]) as serving:
        for level, expected in ((1, 1), (0, 0), (1, 1)):
            assert serving.ask("POST", "/v2/logging", b'{"log_verbose_level":%d}' % level)[0] == 200
            connections = serving.connections_to_both()
            for pid, connection in zip(serving.front_ends(), connections, strict=True):
                post(connection, "quick", TWO_NUMBERS)  # relayed, if the front end does not know the model yet
                before = logged(pid)
                post(connection, "quick", TWO_NUMBERS)
                assert logged(pid) - before == expected
        pid = serving.front_ends_that_listen()[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: serving.has_replaced(pid))
        connections = serving.connections_to_both()
        for pid, connection in zip(serving.front_ends(), connections, strict=True):
            post(connection, "quick", TWO_NUMBERS)
            post(connection, "quick", TWO_NUMBERS)
            assert logged(pid)


def test_tracing_starts_and_ends_for_requests_of_every_front_end_also_of_later_ones(
    repository: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"

    def ask_both(serving: Serving) -> None:
        for connection in serving.connections_to_both():
            for _ in range(3):
                post(connection, "quick", TWO_NUMBERS)

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


def test_every_request_is_logged_once_wherever_it_is_answered(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    bad = as_json({"INPUT0": ("INT32", [1, 2], [1, 2])})
    with server(repository, [f"--log-file={log}", "--log-verbose=1"]) as serving:
        connections = serving.connections_to_both()
        for connection in connections:
            for body, status in [(TWO_NUMBERS, 200), (TWO_NUMBERS, 200), (bad, 400), (TWO_NUMBERS, 200), (bad, 400)]:
                connection.request("POST", "/v2/models/quick/infer", body)
                response = connection.getresponse()
                response.read()
                assert response.status == status
    lines = [line for line in log.read_text().splitlines() if "HTTP request: POST /v2/models/quick/infer" in line]
    assert len(lines) == 10
    assert any("front_lane.py" in line for line in lines)
    assert any(" lane.py" in line for line in lines)
