"""Requests that come in pieces, or several at once, on one connection: some answered here, some relayed."""

import http.client
import re
import socket
import time
from pathlib import Path

import pytest
from tests.support.front_ends import Serving, as_json, server


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


def test_what_comes_behind_the_last_request_of_a_connection_is_no_head_that_is_too_long(repository: Path) -> None:
    last = b"GET /v2/models/quick/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server(repository, []) as serving:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as sock:
                sock.sendall(last + bytes(600_000))
                assert b"".join(iter(lambda: sock.recv(1 << 16), b"")).startswith(b"HTTP/1.1 200 ")
