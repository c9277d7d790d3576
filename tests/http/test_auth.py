import pytest
from starlette.responses import PlainTextResponse
from tests.support.asking import Answer, ask_app

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


async def ask(path: str, header: tuple[bytes, bytes]) -> Answer:
    """What an application behind the gate answers."""
    gate = KeyGate(PlainTextResponse("in"), ApiKeys(["one", "two"]))
    return await ask_app(gate, "GET", path, headers=(header,))


@pytest.mark.parametrize(("header", "admitted"), HEADERS)
async def test_a_request_needs_one_of_the_keys(header: tuple[bytes, bytes], admitted: bool) -> None:
    status, headers, body = await ask("/v2/models/m/infer", header)
    if admitted:
        assert (status, body) == (200, b"in")
    else:
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
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
async def test_probes_and_scrapers_need_none(path: str, status: int) -> None:
    assert (await ask(path, (b"accept", b"*/*"))).status == status


@pytest.mark.parametrize(("header", "admitted"), HEADERS)
def test_the_lane_takes_requests_with_a_key_only(header: tuple[bytes, bytes], admitted: bool) -> None:
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 2\r\n%s: %s\r\n\r\n" % header
    found = parse(head, LaneRules(keys=ApiKeys(["one", "two"])))
    assert (found is not None) == admitted


def test_an_empty_key_opens_nothing() -> None:
    assert not ApiKeys(["", "one"]).admit({b"x-api-key": b""})


def test_without_keys_everybody_is_admitted() -> None:
    assert ApiKeys().admit({})
