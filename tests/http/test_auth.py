import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from despina.http.auth import ApiKeys, KeyGate
from despina.http.request_head import LaneRules, parse

HEADERS = [
    ((b"x-api-key", b"one"), True),
    ((b"x-api-key", b"two"), True),
    ((b"authorization", b"Bearer one"), True),
    ((b"authorization", b"bearer  two"), True),
    ((b"x-api-key", b"three"), False),
    ((b"x-api-key", b""), False),
    ((b"authorization", b"one"), False),
    ((b"authorization", b"Basic one"), False),
    ((b"authorization", b"Bearer"), False),
    ((b"cookie", b"one"), False),
]


def test_nothing_but_an_empty_key_opens_for_nobody() -> None:
    keys = ApiKeys([""])
    assert not keys.admit({})
    assert not keys.admit({b"x-api-key": b""})


def ask(path: str, header: tuple[bytes, bytes]) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body from an application behind the gate."""
    gate = KeyGate(PlainTextResponse("in"), ApiKeys(["one", "two"]))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gate({"type": "http", "method": "GET", "path": path, "headers": [header]}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(("header", "admitted"), HEADERS)
def test_a_request_needs_one_of_the_keys(header: tuple[bytes, bytes], admitted: bool) -> None:
    status, headers, body = ask("/v2/models/m/infer", header)
    if admitted:
        assert (status, body) == (200, b"in")
    else:
        assert (status, headers[b"www-authenticate"]) == (401, b"Bearer")
        assert body.startswith(b'{"error":"a valid API key is required')


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/metrics", 200),
        ("/v2/health/ready/", 401),
        ("/v2", 401),
        ("/nothing", 401),
        ("/v2/models/m/ready", 401),
    ],
)
def test_probes_and_scrapers_need_none(path: str, status: int) -> None:
    assert ask(path, (b"accept", b"*/*"))[0] == status


@pytest.mark.parametrize(("header", "admitted"), HEADERS)
def test_the_lane_takes_requests_with_a_key_only(header: tuple[bytes, bytes], admitted: bool) -> None:
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 2\r\n%s: %s\r\n\r\n" % header
    found = parse(head, LaneRules(keys=ApiKeys(["one", "two"])))
    assert (found is not None) == admitted


def test_an_empty_key_opens_nothing() -> None:
    assert not ApiKeys(["", "one"]).admit({b"x-api-key": b""})


def test_without_keys_everybody_is_admitted() -> None:
    assert ApiKeys().admit({})
