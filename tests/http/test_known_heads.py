import random
import tracemalloc

import pytest

from despina.http.auth import ApiKeys
from despina.http.known_heads import MAX_HEAD, MAX_SEEN, KnownHeads
from despina.http.read_requests import plain_path
from despina.http.request_head import LaneRules, RequestHeads, parse
from despina.remember import MAX_REMEMBERED


def head(*headers: str, path: str = "/v2", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1")


class Parser:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.known = KnownHeads(self.parse)

    def parse(self, head: bytes) -> bytes:
        self.asked.append(head)
        return head


def test_heads_that_differ_in_what_nobody_reads_are_parsed_once() -> None:
    parser = Parser()
    first = head("Host: a", "X-Request-ID: 1", "Content-Length: 5")
    assert parser.known.find(first) == first
    for other in (
        head("Host: b", "X-Request-ID: 2", "Content-Length: 5"),
        head("Content-Length: 5"),
        head("Content-Length: 5", "traceparent: 00-1-2-01", "Traceparent: again"),
        first,
    ):
        assert parser.known.find(other) == first
    assert parser.asked == [first]


@pytest.mark.parametrize(
    "other",
    [
        head("Host: a", "Content-Length: 6"),
        head("Host: a", "Content-Length: 5", "CONNECTION: close"),
        head("Host: a", "Content-Length: 5", "content-length: 5"),
        head("Host: a", "Content-Length: 5", "x-api-key:1"),
        head("Host: a", "Content-Length: 5", path="/v2?"),
        head("Host: a", "Content-Length: 5", method="POST"),
        head("Host: \xe9", "Content-Length: 5"),
        head("Host: a\0", "Content-Length: 5"),
        head("Host: a", " Content-Length: 5"),
        head("Host : a", "Content-Length: 5"),
        head("Host", "Content-Length: 5"),
        head(": a", "Content-Length: 5"),
        head("Host: a\nb", "Content-Length: 5"),
        head("Host: a\rContent-Length: 6", "Content-Length: 5"),
    ],
)
def test_heads_that_differ_in_more_are_parsed_for_themselves(other: bytes) -> None:
    parser = Parser()
    parser.known.find(head("Host: a", "Content-Length: 5"))
    for _ in range(3):
        assert parser.known.find(other) == other


def test_all_of_a_header_that_is_read_tells() -> None:
    parser = Parser()
    heads = [head(f"Authorization: Bearer {'x' * length}{last}") for length in (1, 10, 1000) for last in "ab"]
    for each in heads * 3:
        assert parser.known.find(each) == each


def test_a_header_may_have_any_name() -> None:
    required = "!#$%&'*+-.^_`|~Az"
    rules = LaneRules((required.lower().encode(), b"value"))
    heads = RequestHeads(rules)
    for value in ("value", "other", "value"):
        asked = head("Content-Length: 5", f"{required}: {value}", path="/v2/models/m/infer", method="POST")
        assert (heads.find(asked) is not None) == (value == "value")


def test_one_that_comes_again_is_known_by_its_bytes_and_one_that_does_not_crowds_out_nothing() -> None:
    parser = Parser()
    for _ in range(2):
        parser.known.find(head("User-Agent: constant"))
    for number in range(3 * MAX_REMEMBERED):
        parser.known.find(head(f"X-Request-ID: {number}"))
    assert list(parser.known._known) == [head("User-Agent: constant")]


def test_of_heads_that_came_once_a_bounded_number_is_remembered() -> None:
    parser = Parser()
    for number in range(2 * MAX_SEEN):
        parser.known.find(head(f"X-Request-ID: {number}"))
    assert len(parser.known._seen) <= MAX_SEEN


def test_a_bounded_number_of_kinds_is_remembered_and_no_long_head() -> None:
    parser = Parser()
    for number in range(2 * MAX_REMEMBERED):
        parser.known.find(head(path=f"/{number}"))
    assert len(parser.known._kinds) <= MAX_REMEMBERED
    kinds = len(parser.known._kinds)
    long = head("X: " + "x" * MAX_HEAD)
    for _ in range(3):
        assert parser.known.find(long) == long
    assert (len(parser.known._kinds), parser.asked[-3:]) == (kinds, [long] * 3)


def test_kinds_take_no_more_memory_than_heads() -> None:
    known = KnownHeads(lambda head: None)
    tracemalloc.start()
    try:
        for number in range(MAX_REMEMBERED):
            known.find(head(*["Expect:"] * 450, path=f"/{number}"))
        assert len(known._kinds) == MAX_REMEMBERED
        assert tracemalloc.get_traced_memory()[0] < 1.2 * MAX_REMEMBERED * MAX_HEAD
    finally:
        tracemalloc.stop()


LINES = [
    "Host: a",
    "X-Request-ID: 12",
    "X-Request-ID: 34",
    "Content-Length: 5",
    "content-length: 7",
    "Content-Length: x",
    "Content-Encoding: gzip",
    "Accept-Encoding: gzip",
    "Connection: close",
    "Connection: upgrade",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Transfer-Encoding: chunked",
    "Proxy-Connection: close",
    "Inference-Header-Content-Length: 3",
    "Authorization: Bearer one",
    "X-API-Key: one",
    "traceparent: 00-1-2-01",
    "Required: value",
    "Bad\0: x",
    "Bad: \0",
    " folded",
]
RULES = [
    LaneRules(),
    LaneRules(trace_context=True),
    LaneRules((b"required", b"value")),
    LaneRules(keys=ApiKeys(["one"])),
    LaneRules(compression=False),
]


@pytest.mark.parametrize("rules", RULES, ids=range(len(RULES)))
def test_what_is_known_of_a_head_is_what_parsing_it_says(rules: LaneRules) -> None:
    rng = random.Random(1)
    heads = RequestHeads(rules)
    reads = KnownHeads(lambda head: plain_path(head, rules.keys))
    found = 0
    for _ in range(4000):
        lines = rng.sample(LINES, rng.randrange(5))
        if rng.random() < 0.7:
            lines.insert(0, "Content-Length: 5")
        post = head(*lines, path="/v2/models/m/infer", method="POST")
        assert heads.find(post) == parse(post, rules)
        found += heads.find(post) is not None
        get = head(*lines[1:])
        assert reads.find(get) == plain_path(get, rules.keys)
    assert found > 100
