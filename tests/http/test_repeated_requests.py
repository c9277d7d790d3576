"""Requests that begin like the last one of their connection: which way they take through the lane."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from despina.errors import NotFound
from despina.http.answering_connection import Lane
from despina.http.infer_exchange import InferReply
from despina.http.lane import InferLane
from despina.http.request_head import LaneRules, RequestHeads
from despina.scheduling.outbox import Outbox

JSON = b'{"inputs":[]}'
TENSOR = b"0123456789abcdef"


def request(tensor: bytes = TENSOR, text: bytes = JSON, model: str = "m", headers: str = "") -> bytes:
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\n{headers}Inference-Header-Content-Length: {len(text)}\r\n"
    return f"{head}Content-Length: {len(text) + len(tensor)}\r\n\r\n".encode() + text + tensor


async def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not needed here")


class Transport:
    """Keeps what is written; `closed_after` is how much of it was there when it was closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write, self.writelines = self.written.append, self.written.extend
        self.closed_after: int | None = None

    def is_closing(self) -> bool:
        return self.closed_after is not None

    def close(self) -> None:
        self.closed_after = len(self.written)

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: object) -> None:
        """Nobody is told of anything."""

    def get_extra_info(self, name: str) -> None:
        """There is no socket to tell of."""

    def pause_reading(self) -> None:
        """Nothing is read from here."""

    resume_reading = pause_reading


class Model:
    """Stands for one."""


class Wire:
    """A connection without a socket. `taken` tells of every request which way it took and with which tensors; every
    model knows the requests that it is sent, unless `known` is false, and can read their tensors if `readable`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.models: dict[str, object] = {"m": Model(), "n": Model()}
        self.known = True
        self.readable = True
        self._loop = loop
        self.taken: list[tuple[str, bytes]] = []
        self.clients: list[object] = []
        config = uvicorn.Config(application, lifespan="off", log_config=None)
        config.load()
        server: Any = SimpleNamespace(models=SimpleNamespace(get=self._model))
        self.outbox = Outbox()
        lane = Lane(server, RequestHeads(LaneRules()), outbox=self.outbox)
        self.connection = InferLane(config, ServerState(), {}, loop, lane=lane)
        self.transport = Transport()
        self.connection.connection_made(cast("Any", self.transport))

    def _model(self, name: str, version: int | None) -> object:
        try:
            return self.models[name]
        except KeyError:
            raise NotFound(f"no model {name}") from None

    def exchange(self, server: Any, model: object, reply: Callable[[InferReply], None], client: object) -> Any:
        self.clients.append(client)

        def start(body: memoryview, header_length: str, received_ns: int = 0) -> object:
            text, tensor = bytes(body[: int(header_length)]), bytes(body[int(header_length) :])
            self.taken.append(("in full", tensor))
            reply(InferReply(200, [b"{}"], 2))
            return SimpleNamespace(fixed=(text,)) if self.known else None

        def start_like(template: Any, data: bytes, start: int) -> bool:
            assert data[:start].endswith(b"\r\n\r\n" + template.fixed[0])
            if self.readable:
                self.taken.append(("short", data[start:]))
                reply(InferReply(200, [b"{}"], 2))
            return self.readable

        return SimpleNamespace(model=model, start=start, start_like=start_like)

    def send(self, *requests: bytes) -> list[tuple[str, bytes]]:
        """Which ways these took."""
        del self.taken[:]
        for each in requests:
            self.connection.data_received(each)
            self._loop.run_until_complete(asyncio.sleep(0))
        return list(self.taken)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    loop = asyncio.new_event_loop()
    wire = Wire(loop)
    monkeypatch.setattr("despina.http.lane.InferExchange", wire.exchange)
    yield wire
    loop.close()


def test_only_the_tensors_of_a_request_that_begins_the_same_are_looked_at(wire: Wire) -> None:
    others = [bytes([number]) * len(TENSOR) for number in range(3)]
    assert wire.send(request()) == [("in full", TENSOR)]
    assert wire.send(*map(request, others)) == [("short", tensor) for tensor in others]
    assert len(wire.transport.written) == 4


def test_a_header_that_nobody_reads_may_be_another_one_each_time(wire: Wire) -> None:
    others = [request(bytes([number]) * len(TENSOR), headers=f"X-Request-ID: {10**number}\r\n") for number in range(3)]
    assert wire.send(request()) == [("in full", TENSOR)]
    assert wire.send(*others) == [("short", each[-len(TENSOR) :]) for each in others]
    assert wire.send(request(), request(text=JSON + b" ", headers="A: b\r\n")) == [
        ("short", TENSOR),
        ("in full", TENSOR),
    ]


def test_a_header_that_is_read_makes_it_another_request(wire: Wire) -> None:
    wire.send(request())
    assert wire.send(request(headers="Accept-Encoding: gzip\r\n")) == [("in full", TENSOR)]


def test_of_such_a_request_not_more_is_taken_than_its_own(wire: Wire) -> None:
    wire.send(request())
    one, two = (request(bytes([number]) * len(TENSOR), headers=f"A: {number}\r\n") for number in range(2))
    assert [tensor for _, tensor in wire.send(one + two)] == [one[-len(TENSOR) :], two[-len(TENSOR) :]]
    assert wire.send(one[:-1]) == []
    assert wire.send(one[-1:]) == [("in full", one[-len(TENSOR) :])]


def test_an_idle_connection_does_not_keep_a_model_that_is_gone(wire: Wire) -> None:
    gone = weakref.ref(wire.models["m"])
    wire.send(request(), request())
    del wire.models["m"]
    gc.collect()
    assert gone() is None
    wire.models["m"] = Model()
    assert wire.send(request()) == [("in full", TENSOR)]
    assert wire.send(request()) == [("short", TENSOR)]


def test_all_requests_of_a_connection_are_those_of_one_client(wire: Wire) -> None:
    wire.send(request(), request(), request(model="n"))
    assert len(wire.clients) == 3
    assert set(wire.clients) == {wire.connection}


def test_a_request_whose_tensors_cannot_be_read_the_short_way_takes_the_full_one(wire: Wire) -> None:
    wire.send(request())
    wire.readable = False
    assert wire.send(request(), request()) == [("in full", TENSOR)] * 2
    wire.readable = True
    assert wire.send(request()) == [("short", TENSOR)]


def test_a_request_that_nobody_knows_takes_the_full_way_each_time(wire: Wire) -> None:
    wire.known = False
    assert wire.send(request(), request()) == [("in full", TENSOR)] * 2


@pytest.mark.parametrize(
    "other", [request(text=b'{"input":[] }'), request(TENSOR + b"0123"), request(TENSOR[1:]), request(model="n")]
)
def test_a_request_that_begins_otherwise_takes_the_full_way(wire: Wire, other: bytes) -> None:
    wire.send(request())
    assert [way for way, _ in wire.send(other, other, request())] == ["in full", "short", "in full"]


def test_what_follows_on_the_heels_of_such_a_request_is_not_lost(wire: Wire) -> None:
    wire.send(request())
    assert wire.send(request() + request(b"f" * 16)) == [("in full", TENSOR), ("short", b"f" * 16)]


def test_a_new_version_of_the_model_learns_for_itself(wire: Wire) -> None:
    wire.send(request())
    wire.models["m"] = Model()
    assert [way for way, _ in wire.send(request(), request(), request())] == ["in full", "short", "short"]


def test_a_model_that_is_gone_is_an_error_until_it_is_back(wire: Wire) -> None:
    wire.send(request())
    model = wire.models.pop("m")
    assert wire.send(request()) == []
    assert wire.transport.written[-1].startswith(b"HTTP/1.1 404 ")
    wire.models["m"] = model
    assert wire.send(request()) == [("short", TENSOR)]


async def test_a_server_that_ends_keeps_no_connection_for_a_client_that_wishes_so(wire: Wire) -> None:
    old = request(headers="Connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    wire.connection.data_received(old)
    wire.connection.take_leave(lambda: None)
    wire.connection.data_received(old)
    said = [b"connection: keep-alive" in head for head in wire.transport.written[::2]]
    assert (said, b"connection: close" in wire.transport.written[2]) == ([True, False], True)


async def test_the_last_answer_of_a_connection_is_written_before_that_is_closed(wire: Wire) -> None:
    with wire.outbox.together():
        wire.connection.send_400_response("Invalid HTTP request received.")
    head, _ = wire.transport.written
    assert b"connection: close" in head
    assert wire.transport.closed_after == 2
