import asyncio
import logging
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.support.serving import REPOSITORY, serving
from uvicorn.server import ServerState

from despina.errors import NotFound, Unavailable
from despina.http.answering_connection import Lane
from despina.http.auth import ApiKeys
from despina.http.endpoint import Place, reading
from despina.http.endpoints import ALL
from despina.http.lane import InferLane
from despina.http.read_requests import ReadRequests, plain_path
from despina.http.request_head import LaneRules, RequestHeads
from despina.http.routes import Routes

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (get("/v2"), "/v2"),
        (get("/v2/models/m:n+1/ready", "Connection: Keep-Alive", "Accept: */*"), "/v2/models/m:n+1/ready"),
        (get("/v2", "Content-Type: application/json"), "/v2"),
        (get("/v2", method="HEAD"), None),
        (get("/v2", method="POST"), None),
        (get("/v2", version="1.0"), None),
        (get("/v2", "Connection: keep-alive", version="1.0"), None),
        (get("/v2", version="0.9"), None),
        (get("/v2", "Connection: close"), None),
        (get("/v2", "Proxy-Connection: close"), None),
        (get("/v2", "Connection: keep-alive", "Proxy-Connection: close"), None),
        (get("/v2", "Connection: upgrade"), None),
        (get("/v2", "Upgrade: h2c"), None),
        (get("/v2", "Expect: 100-continue"), None),
        (get("/v2", "Content-Length: 0"), None),
        (get("/v2", "Content-Length: 1"), None),
        (get("/v2", "Transfer-Encoding: chunked"), None),
        (get("/v2", "Accept: a", "accept: b"), "/v2"),
        (get("/v2", "Connection: keep-alive", "connection: keep-alive"), None),
        (get("/v2?"), None),
        (get("/v2?a=b"), None),
        (get("/v2#a"), None),
        (get("/v2/models/%6d"), None),
        (get("/v2/models/\xe9"), None),
        (get("http://x/v2"), None),
        (get("/v2", ": x"), None),
    ],
)
def test_only_a_request_that_wants_nothing_besides_is_a_plain_one(request_: bytes, path: str | None) -> None:
    assert plain_path(request_, ApiKeys()) == path


def test_a_plain_request_has_a_key_where_one_is_needed() -> None:
    keys = ApiKeys(["one"])
    assert plain_path(get("/v2", "X-API-Key: one"), keys) == "/v2"
    assert plain_path(get("/v2", "X-API-Key: two"), keys) is None
    assert plain_path(get("/v2"), keys) is None


def read(place: Place, server: Any) -> Response:
    name = place.path_params["model"]
    if name == "broken":
        raise ZeroDivisionError
    if name == "full":
        raise Unavailable("full", retry_after=3)
    if name != "m":
        raise NotFound(f"no {name}")
    return Response()


def requests(restricted: dict[str, tuple[str, str]] | None = None) -> ReadRequests:
    server: Any = SimpleNamespace(settings=SimpleNamespace(http_restricted_api=restricted or {}, api_key=()))
    return ReadRequests(server, Routes([reading("/models/{model}", "health", read)]))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/models/m", OK),
        (
            "/models/n",
            b'HTTP/1.1 404 Not Found\r\ncontent-length: 16\r\ncontent-type: application/json\r\n\r\n{"error":"no n"}',
        ),
        (
            "/models/full",
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 16\r\n"
            b'content-type: application/json\r\n\r\n{"error":"full"}',
        ),
        ("/models/broken", None),
        ("/models", None),
    ],
)
def test_what_cannot_be_answered_here_is_left_to_the_application(path: str, answer: bytes | None) -> None:
    reads = requests()
    assert [reads.answer(get(path)) for _ in range(2)] == [answer, answer]


def test_a_restricted_api_is_left_to_the_application() -> None:
    assert requests({"health": ("key", "value")}).answer(get("/models/m", "key: value")) is None
    assert requests({"metadata": ("key", "value")}).answer(get("/models/m")) == OK


def test_a_header_that_nobody_reads_may_be_another_one_each_time() -> None:
    reads = requests()
    assert [reads.answer(get("/models/m", f"X-Request-ID: {number}")) for number in range(3)] == 3 * [OK]
    assert reads.answer(get("/models/m", "X: " + "x" * 5000)) == OK
    assert reads.answer(get("/models/m", "Content-Length: 0")) is None


class Transport:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def get_extra_info(self, name: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    resume_reading = pause_reading


async def by_the_application(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"application")(scope, receive, send)


async def connection() -> tuple[InferLane, Transport]:
    config = uvicorn.Config(cast("Any", by_the_application), lifespan="off", log_config=None)
    config.load()
    lane = Lane(cast("Any", None), RequestHeads(LaneRules()), reads=requests())
    protocol = InferLane(config, ServerState(), {}, asyncio.get_running_loop(), lane=lane)
    transport = Transport()
    protocol.connection_made(cast("Any", transport))
    return protocol, transport


async def ask(protocol: InferLane, transport: Transport, data: bytes) -> bytes:
    transport.written = b""
    protocol.data_received(data)
    for _ in range(20):
        await asyncio.sleep(0)
    return transport.written


@pytest.fixture
def level() -> Iterator[logging.Logger]:
    logger = logging.getLogger("despina")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(before)


async def test_lane_and_application_take_turns(level: logging.Logger) -> None:
    protocol, transport = await connection()
    for _ in range(2):
        assert await ask(protocol, transport, get("/models/m")) == OK
        assert protocol.timeout_keep_alive_task is None
        assert (await ask(protocol, transport, get("/models/m", "Content-Length: 0"))).endswith(b"application")
    assert protocol.server_state.total_requests == 4


async def test_two_requests_in_one_packet_are_the_applications(level: logging.Logger) -> None:
    protocol, transport = await connection()
    assert (await ask(protocol, transport, 2 * get("/models/m"))).count(b"application") == 2
    assert await ask(protocol, transport, get("/models/m")) == OK


async def test_two_requests_that_would_be_one_together_are_two(level: logging.Logger) -> None:
    protocol, transport = await connection()
    both = b"GET /models HTTP/1.1\r\n\r\nGET /m HTTP/1.1\r\n\r\n"
    assert (await ask(protocol, transport, both)).count(b"application") == 2


async def test_a_request_in_two_pieces_is_the_applications(level: logging.Logger) -> None:
    protocol, transport = await connection()
    protocol.data_received(get("/models/m")[:3])
    assert (await ask(protocol, transport, get("/models/m")[3:])).endswith(b"application")


async def test_where_requests_are_logged_they_are_the_applications(level: logging.Logger) -> None:
    protocol, transport = await connection()
    level.setLevel(logging.DEBUG)
    assert (await ask(protocol, transport, get("/models/m"))).endswith(b"application")


async def test_the_last_answer_of_a_server_that_ends_is_the_applications(level: logging.Logger) -> None:
    protocol, transport = await connection()
    protocol.take_leave(lambda: None)
    answer = await ask(protocol, transport, get("/models/m"))
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"application")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(REPOSITORY, ["--model-control-mode=explicit", "--load-model=identity_fp32"]) as port:
        yield port


READING = sorted({endpoint.path for endpoint in ALL if endpoint.read is not None})


@pytest.mark.parametrize("name", ["identity_fp32", "nope"])
@pytest.mark.parametrize("path", READING)
def test_it_is_the_answer_that_the_application_gives(port: int, path: str, name: str) -> None:
    path = path.replace("{version:int}", "1").format(model=name, region=name)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(get(path))
        answer = sock.recv(1 << 16)
        sock.sendall(get(path, "Content-Length: 0"))
        assert sock.makefile("rb").read(len(answer)) == answer
    assert answer.startswith(b"HTTP/1.1 ")
