"""What a front end does with an infer request that is not for itself: which model of its owner it names, and when it
leaves the request to the application instead."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.channels import FakeModel, Pair, paired, raising
from tests.support.front_ends import as_json

from despina.errors import Unavailable
from despina.http.request_head import CHUNKED, InferHead
from despina.http.workers.front_lane import FrontLane

BODY = as_json({"IN": ("FP32", [1, 2], [1, 2])})
BEGINNING = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n\r\n"


class Lane:
    """A connection's, in which a request has just arrived. `left` is what the application gets."""

    def __init__(self, pair: Pair, closing: bool = False) -> None:
        self.left: list[tuple[bytes, ...]] = []
        lane: Any = object.__new__(FrontLane)
        lane.transport = SimpleNamespace(is_closing=lambda: closing)
        lane._channel = pair.front
        lane._exchange = "that of the request until now"
        lane._hand_over = lambda *request: self.left.append(tuple(map(bytes, request)))
        self.lane = lane

    def pass_on(self, body: bytes = BODY, version: int | None = None, **more: Any) -> None:
        head = replace(InferHead("m", version, len(body), None), **more)
        self.lane._pass_on(head, BEGINNING + body[:10], memoryview(body))


async def test_the_version_that_was_asked_for_answers() -> None:
    async with paired() as (pair, model):
        pair.older, pair.serving = model, FakeModel(version=2)
        Lane(pair).pass_on(version=1)
        await pair.turn()
        assert (len(model.scheduled), len(pair.serving.scheduled)) == (1, 0)
        Lane(pair).pass_on()
        await pair.turn()
        assert (len(model.scheduled), len(pair.serving.scheduled)) == (1, 1)


async def test_a_request_whose_client_has_gone_is_not_passed_on() -> None:
    async with paired() as (pair, model):
        gone = Lane(pair, closing=True)
        gone.pass_on()
        await pair.turn()
        assert not model.scheduled
        assert not gone.left
        assert gone.lane._exchange is None


async def test_a_body_that_there_is_no_room_for_is_left_to_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, model):
        monkeypatch.setattr(pair.requests, "take", raising(Unavailable("no room")))
        full, large = Lane(pair), BODY + b" " * 100_000
        full.pass_on(large)
        await pair.turn()
        assert full.left == [(BEGINNING, large)]
        assert not model.scheduled


@pytest.mark.parametrize("more", [{"content_length": CHUNKED}, {"packed": True}])
async def test_what_is_chunked_or_compressed_is_left_to_the_application_as_it_came(more: dict[str, Any]) -> None:
    async with paired() as (pair, model):
        lane = Lane(pair)
        lane.pass_on(b"not JSON", **more)
        await pair.turn()
        assert lane.left == [(BEGINNING, b"not JSON")]
        assert not model.scheduled
