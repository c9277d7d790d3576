from itertools import combinations, pairwise

import pytest

from despina.http.compression import IN_THREAD_SIZE
from despina.http.request_head import CHUNKED, LaneRules, SplitHead, parse, without_upgrade

HEAD = b"POST /x HTTP/1.1\r\nUp: 1\r\nUPGRADE: h2c\r\nX-Upgrade: y\r\nupgrade:z\r\nUpgraded: n\r\n\r\n"
BODY = b"\r\nupgrade: stays\r\n\r\nupgrade:"


@pytest.mark.parametrize("pieces", [2, 3])
def test_a_head_in_pieces_is_what_it_is_as_a_whole(pieces: int) -> None:
    whole = HEAD + BODY
    for cuts in combinations(range(1, len(HEAD) + 1), pieces - 1):
        split = SplitHead()
        bounds = (0, *cuts, len(whole))
        passed = [split.feed(whole[begin:end]) for begin, end in pairwise(bounds)]
        assert b"".join(passed) == without_upgrade(HEAD) + BODY


def test_only_what_may_become_the_name_is_held_back() -> None:
    split = SplitHead()
    assert split.feed(b"GET / HTTP/1.1\r\nUpgr") == b"GET / HTTP/1.1\r\n"
    assert split.feed(b"ess: 1\r") == b"Upgress: 1\r"
    assert split.feed(b"\n\r") == b"\n\r"
    assert split.feed(b"\nupgrade:") == b"\nupgrade:"


@pytest.mark.parametrize("matters", [False, True])
def test_a_trace_context_is_for_the_application_if_it_matters(matters: bool) -> None:
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 0\r\nTraceparent: 00-1-2-01\r\n\r\n"
    assert (parse(head, LaneRules(trace_context=matters)) is None) == matters


@pytest.mark.parametrize(
    ("version", "header", "said"),
    [
        ("1.1", "", ""),
        ("1.1", "Connection: keep-alive\r\n", ""),
        ("1.1", "Connection: close\r\n", "close"),
        ("1.0", "", "close"),
        ("1.0", "Connection: Keep-Alive\r\n", "keep-alive"),
        ("1.0", "Connection: close\r\n", "close"),
    ],
)
@pytest.mark.parametrize("length", [0, 1])
def test_what_is_said_of_the_connection_follows_from_version_and_wish(
    version: str, header: str, said: str, length: int
) -> None:
    lines = f"POST /v2/models/m/infer HTTP/{version}\r\n{header}Content-Length: {length}\r\n\r\n"
    head = parse(lines.encode(), LaneRules())
    assert head is not None
    assert head.connection == said


def test_other_versions_are_for_the_application() -> None:
    assert parse(b"POST /v2/models/m/infer HTTP/0.9\r\nContent-Length: 1\r\n\r\n", LaneRules()) is None


@pytest.mark.parametrize(
    ("encoding", "length", "packed"),
    [
        ("", 1, None),
        ("gzip", IN_THREAD_SIZE - 1, True),
        ("deflate", 1, True),
        ("gzip", IN_THREAD_SIZE, None),
        ("br", 1, None),
        ("gzip, gzip", 1, None),
        ("identity", IN_THREAD_SIZE, False),
    ],
)
def test_only_small_compressed_bodies_are_for_the_lane(encoding: str, length: int, packed: bool | None) -> None:
    lines = f"POST /v2/models/m/infer HTTP/1.1\r\nContent-Encoding: {encoding}\r\nContent-Length: {length}\r\n\r\n"
    head = parse(lines.encode(), LaneRules())
    assert (None if head is None else bool(head.packed)) == packed


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ("Transfer-Encoding: chunked\r\n", CHUNKED),
        ("transfer-encoding:chunked\r\n", CHUNKED),
        ("Transfer-Encoding: chunked\r\nContent-Encoding: identity\r\n", CHUNKED),
        ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", None),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None),
        ("Transfer-Encoding: Chunked\r\n", None),
        ("Transfer-Encoding: chunked, chunked\r\n", None),
        ("Transfer-Encoding: chunked\t\r\n", None),
        ("Transfer-Encoding: chunked;q=1\r\n", None),
        ("Transfer-Encoding: identity, chunked\r\n", None),
        ("Transfer-Encoding: identity\r\n", None),
        ("Transfer-Encoding: gzip\r\n", None),
        ("Transfer-Encoding:\r\n", None),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", None),
        ("Content-Length: 5\r\n", 5),
        ("Content-Length: 5\r\nTransfer-Encoding:\r\n", None),
        ("", None),
    ],
)
def test_a_body_is_framed_in_one_way(lines: str, length: int | None) -> None:
    head = parse(f"POST /v2/models/m/infer HTTP/1.1\r\n{lines}\r\n".encode(), LaneRules())
    assert (None if head is None else head.content_length) == length


def test_old_clients_have_no_chunks() -> None:
    lines = b"POST /v2/models/m/infer HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert parse(lines, LaneRules()) is None
