import random
import tracemalloc

import httptools
import pytest
from tests.fuzz.mutation import mutate_bytes

from despina.http.chunks import MOST_CHUNKS, MOST_COLLECTED, Chunks

HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "empty": (b"0\r\n\r\n", b""),
    "one": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "several": (b"1\r\nh\r\n10\r\n" + b"e" * 16 + b"\r\nA\r\n0123456789\r\na\r\n\r\n0\r\n\r\nabc\r\n0\r\n\r\n", None),
    "longest size": (b"10000\r\n" + bytes(1 << 16) + b"\r\n0\r\n\r\n", bytes(1 << 16)),
}
UNUSUAL = {
    "no size": b"\r\n",
    "space before a size": b" 5\r\nhello\r\n",
    "space behind a size": b"5 \r\nhello\r\n",
    "tab behind a size": b"5\t\r\nhello\r\n",
    "zero before a size": b"05\r\nhello\r\n",
    "sign": b"+5\r\nhello\r\n",
    "minus": b"-5\r\nhello\r\n",
    "prefix": b"0x5\r\nhello\r\n",
    "no digit": b"g\r\n",
    "underscore": b"1_0\r\n",
    "nine digits": b"100000005\r\nhello\r\n",
    "huge size": b"10000000000000005\r\nhello\r\n",
    "extension": b"5;name=value\r\nhello\r\n",
    "bare LF behind a size": b"5\nhello\r\n",
    "bare CR behind a size": b"5\rhello\r\n",
    "bare CR behind the longest size": b"10000000\rhello\r\n",
    "two CR": b"5\r\r\nhello\r\n",
    "bare LF behind a chunk": b"5\r\nhello\n",
    "nothing behind a chunk": b"5\r\nhello5\r\n",
    "chunk longer than its size": b"4\r\nhello\r\n",
    "chunk shorter than its size": b"6\r\nhello\r\n0",
    "trailer": b"0\r\nX: y\r\n\r\n",
    "several zeros": b"00\r\n\r\n",
    "extension of the last chunk": b"0;x\r\n\r\n",
    "bare LF behind the last chunk": b"0\n\r\n",
    "bare LF at the end": b"0\r\n\n",
}


def reads(pieces: list[bytes]) -> tuple[bool, Chunks, bytearray]:
    """What becomes of a request that comes so, until it is found to be unusual or whole."""
    chunks, request = Chunks(len(HEAD)), bytearray()
    usual = True
    for piece in pieces:
        if usual and not chunks.end:
            request += piece
            usual = chunks.find(request)
    return usual, chunks, request


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_plain_body_is_what_is_in_its_chunks(name: str, behind: bytes) -> None:
    sent, inside = BODIES[name]
    usual, chunks, request = reads([HEAD + sent + behind])
    assert (usual, chunks.begin, chunks.end) == (True, len(HEAD), len(HEAD + sent))
    if inside is None:
        inside = b"h" + b"e" * 16 + b"0123456789" + b"\r\n0\r\n\r\nabc"
    assert bytes(chunks.body(request)) == inside


@pytest.mark.parametrize("name", ["empty", "one", "several"])
def test_a_body_may_come_in_pieces(name: str) -> None:
    sent = HEAD + BODIES[name][0]
    whole = reads([sent])
    for cut in range(len(HEAD), len(sent)):
        usual, chunks, request = reads([sent[:cut], sent[cut:]])
        assert (usual, chunks.end) == (True, len(sent))
        assert chunks.body(request) == whole[1].body(whole[2])
    usual, chunks, _ = reads([HEAD, *(sent[at : at + 1] for at in range(len(HEAD), len(sent)))])
    assert (usual, chunks.end) == (True, len(sent))


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("before", [b"", b"3\r\nabc\r\n"])
def test_what_is_unusual_is_never_whole(name: str, before: bytes) -> None:
    sent = HEAD + before + UNUSUAL[name] + b"0\r\n\r\n"
    assert reads([sent])[0] is False
    for cut in range(len(HEAD), len(sent)):
        assert reads([sent[:cut], sent[cut:]])[0] is False


def test_a_large_body_is_collected_by_somebody_else() -> None:
    size = MOST_COLLECTED - len(HEAD) - len(b"ffff\r\n")
    assert Chunks(len(HEAD)).find(HEAD + b"%x\r\n" % size)
    assert not Chunks(len(HEAD)).find(HEAD + b"%x\r\n" % (size + 1))
    chunk = b"400\r\n" + bytes(0x400) + b"\r\n"
    assert Chunks(len(HEAD)).find(HEAD + chunk * 63)
    assert not Chunks(len(HEAD)).find(HEAD + chunk * 64)


@pytest.mark.parametrize(("count", "usual"), [(MOST_CHUNKS, True), (MOST_CHUNKS + 1, False)])
def test_many_chunks_are_counted_by_somebody_else(count: int, usual: bool) -> None:
    assert Chunks(len(HEAD)).find(HEAD + b"1\r\na\r\n" * count + b"0\r\n\r\n") is usual


@pytest.mark.parametrize("ended", [True, False])
def test_more_is_not_looked_for_and_takes_no_more_memory_than_a_body(ended: bool) -> None:
    request = HEAD + b"1\r\na\r\n" * 20 * MOST_CHUNKS + b"0\r\n\r\n" * ended
    chunks = Chunks(len(HEAD))
    tracemalloc.start()
    try:
        assert not chunks.find(request)
        assert tracemalloc.get_traced_memory()[0] < MOST_COLLECTED
    finally:
        tracemalloc.stop()


class Parsed:
    """What httptools finds: the first body. `at_end`: behind the last byte it was given so far, a message has ended."""

    def __init__(self) -> None:
        self.body = b""
        self.at_end = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.at_end = True


def test_the_parser_reads_every_plain_body_the_same() -> None:
    rng = random.Random(0)
    parts = [b"5\r\nhello\r\n", b"1\r\n0\r\n", b"A\r\n\r\n0\r\n\r\nabc\r\n"] * 10 + list(UNUSUAL.values())
    whole = 0
    for _ in range(4000):
        body = b"".join(rng.choices(parts, k=rng.randint(1, 3)))
        sent = HEAD + mutate_bytes(body, rng, rng.randint(0, 2)) + b"0\r\n\r\n"
        usual, chunks, request = reads([sent])
        if not usual or not chunks.end:
            continue
        whole += 1
        parsed = Parsed()
        parser = httptools.HttpRequestParser(parsed)
        parser.feed_data(sent[: chunks.end - 1])
        assert not parsed.at_end
        parser.feed_data(sent[chunks.end - 1 : chunks.end])
        assert parsed.at_end
        assert chunks.body(request) == parsed.body
    assert whole > 400
