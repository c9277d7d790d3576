"""Requests whose framing is wrong: cut short, repeated, of another length than they say, chunked badly, mixed."""

import random
from collections.abc import Sequence

from tests.fuzz.corpus import Good
from tests.fuzz.mutation import mutate_bytes

_LENGTHS = ("-1", "+5", "0x10", "5, 5", "", "99999999999999999999", "1e3", "5\r\nContent-Length: 6", "\x00")
_HEADERS = (
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: nonsense"),
    *(b"Expect: 100-continue", b"Expect: 200-ok", b"Upgrade: websocket\r\nConnection: upgrade", b"Connection: close"),
    *(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings", b"Content-Encoding: gzip", b"Content-Encoding: deflate"),
    *(b"Content-Encoding: nonsense", b"Accept-Encoding: gzip;q=x, deflate", b"Inference-Header-Content-Length: 99999"),
    *(b"Inference-Header-Content-Length: " + b"9" * 4999, b"X: " + b"a" * 70000, b"Host: \xff\xfe", b"A\0B: c"),
    *(b": empty", b"no colon", b" folded: line", b"X:" + b"\t" * 500, b"Triton-Grpc-Error: true", b"Range: bytes=0-5"),
)
_PATHS = (
    *(b"/", b"*", b"//", b"/v2/models/%", b"/v2/models/%00/infer", b"/v2/models/%ff%fe/infer", b"/v2/models/../infer"),
    *(b"/v2/models/digits/versions/99999999999999999999/infer", b"http://x/v2/health/live", b"/v2/models/a%2Fb/ready"),
    *(b"/v2/models/digits/versions/-1", b"/v2/" + b"a" * 5000, b"/v2/models/\xc3\xa9/infer"),
    *(b"/v2/models/digits/infer#x", b"/v2/models/digits/versions/1/infer?a=%zz&b", b"/v2/models//infer"),
    *(b"/v2/repository//models/x/load", b"x:443"),
)
_LINES = (
    *(b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"CONNECT", b"PRI", b"post", b"X" * 300, b""),
)
_GARBAGE = (
    *(b"\r\n\r\n", b"\0" * 50, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\xff" * 300),
    *(b"POST /v2/models/digits/infer HTTP/1.1\r\n",),
)
_BAD_CHUNKS = (
    *(b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5;a=b\r\nhello\r\n", b"\r\n", b"0\r\nTrailer: x\r\n\r\n"),
    *(b"3\r\nab\r\n",),
)


def misframed(goods: Sequence[Good], raw: Sequence[bytes], rng: random.Random) -> bytes:
    """What is sent on one connection."""
    good = rng.choice(goods)
    choice = rng.randrange(9)
    if choice == 0:
        return good.bytes[: rng.randrange(len(good.bytes) + 1)]
    if choice == 1:
        return good.head(_other_length(len(good.body), rng)) + good.body + good.bytes
    if choice == 2:
        return _with_header(good, rng.choice(_HEADERS)) + good.body
    if choice == 3:
        return _chunked(good, rng)
    if choice == 4:
        return good.bytes.replace(good.path.encode(), rng.choice(_PATHS), 1)
    if choice == 5:
        return good.bytes.replace(good.method.encode(), rng.choice(_LINES), 1)
    if choice == 6:
        mixed = [rng.choice(goods).bytes for _ in range(rng.randint(2, 5))]
        mixed.insert(rng.randrange(len(mixed) + 1), rng.choice((*_GARBAGE, *raw)))
        return b"".join(mixed)
    if choice == 7:
        return mutate_bytes(good.head(), rng, rng.randint(1, 4)) + good.body
    return mutate_bytes(good.bytes + rng.choice(goods).bytes, rng, rng.randint(1, 8))


def _other_length(length: int, rng: random.Random) -> int | str:
    if rng.random() < 0.5:
        return max(0, length + rng.choice((-1, 1, -7, 100, 70_000)))
    return rng.choice(_LENGTHS)


def _with_header(good: Good, line: bytes) -> bytes:
    return good.head().replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


def _chunked(good: Good, rng: random.Random) -> bytes:
    """The body in chunks, some of which are not what they say."""
    head = good.head().replace(b"Content-Length: %d" % len(good.body), b"Transfer-Encoding: chunked")
    pieces = []
    position = 0
    while position < len(good.body):
        piece = good.body[position : position + rng.randint(1, 400)]
        position += len(piece)
        pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
    pieces.append(b"0\r\n\r\n")
    if rng.random() < 0.7:
        pieces.insert(rng.randrange(len(pieces)), rng.choice(_BAD_CHUNKS))
    return head + b"".join(pieces)
