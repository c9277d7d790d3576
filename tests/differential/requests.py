"""Recorded requests with something wrong: in their JSON, in their bytes, in what is said about them."""

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.fuzz.corpus import Good, recorded
from tests.fuzz.mutation import TOKENS, mutate_json

METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS")
HEADERS = (
    *(("Accept-Encoding", value) for value in ("gzip", "deflate", "gzip;q=0.1, deflate", "*", "identity")),
    *(("Content-Encoding", value) for value in ("identity", "gzip", "deflate", "br")),
    *(("Inference-Header-Content-Length", value) for value in ("0", "1", "-1", "99999", " 5", "+3", "1e2")),
    *(("Content-Type", "text/xml"), ("Accept", "text/html"), ("Triton-Foo", "b"), ("X-Forwarded-For", "1.1.1.1")),
)
NAMES = ("nope", "digits", "add_sub_int32", "identity_bytes", "%64igits", "a%20b", "multi_all", "digits%2F", "text_gen")
VERSIONS = ("1", "2", "3", "0", "01", "-1", "abc", "99999999999999999999", "", "%31")
ENDS = ("/", "//", "?x=1", "/x", "%20", "/ready", "/config", "/versions/1", "/generate")

_TOKEN = re.compile(rb'-?\d+(?:\.\d+)?|"[^"]*"|true|false|null')
_CHANGES_MODELS = re.compile("/repository/")


def damaged_requests(seed: int) -> Iterator[Sequence[Good]]:
    """Requests without end, the same ones for the same seed, each on its own."""
    rng = random.Random(seed)
    good = [request for request in recorded() if not _CHANGES_MODELS.search(request.path)]
    while True:
        request = rng.choice(good)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            request = _damaged(request, rng)
        if request.path.isascii() and not re.search(r"[\0-\x20\x7f]", request.path):
            yield [_with_length(request)]


def _damaged(request: Good, rng: random.Random) -> Good:
    choice = rng.random()
    if choice < 0.7 and request.body:
        return _damaged_head(request, rng)
    if choice < 0.8 and request.body:
        return replace(request, body=_damaged_bytes(request.body, rng))
    if choice < 0.88:
        return replace(request, path=_other_path(request.path, rng))
    if choice < 0.92:
        return replace(request, method=rng.choice(METHODS))
    name, value = rng.choice(HEADERS)
    others = tuple((each, said) for each, said in request.headers if each.lower() != name.lower())
    return replace(request, headers=(*others, (name, value)))


def _damaged_head(request: Good, rng: random.Random) -> Good:
    """The JSON of the request; what is said of its length is true again afterwards, most of the time."""
    said = request.header_length
    length = int(said) if said is not None and said.isdigit() else len(request.body)
    head, tail = request.body[:length], request.body[length:]
    try:
        document = mutate_json(json.loads(head), rng, 1)
        head = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except ValueError:
        head = _damaged_bytes(head, rng)
    if said is None:
        return replace(request, body=head + tail)
    true_length = len(head) + rng.choice((*[0] * 20, -1, 1, len(tail)))
    headers = tuple((n, str(true_length) if n.lower().startswith("inference-") else v) for n, v in request.headers)
    return replace(request, headers=headers, body=head + tail)


def _damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return rng.choice(TOKENS)
    place = rng.randrange(len(data))
    choice = rng.random()
    if choice < 0.3:
        return data[:place] + data[place + 1 :]
    if choice < 0.5:
        return data[:place] + rng.choice(TOKENS) + data[place:]
    if choice < 0.6:
        return data[:place]
    tokens = list(_TOKEN.finditer(data))
    if not tokens:
        return data + rng.choice(TOKENS)
    token = rng.choice(tokens)
    return data[: token.start()] + rng.choice(TOKENS) + data[token.end() :]


def _other_path(path: str, rng: random.Random) -> str:
    choice = rng.random()
    if choice < 0.3:
        return path.replace("/infer", f"/versions/{rng.choice(VERSIONS)}/infer")
    if choice < 0.6:
        return re.sub("/models/[^/]+", f"/models/{rng.choice(NAMES)}", path)
    if choice < 0.8:
        return path + rng.choice(ENDS)
    place = rng.randint(1, len(path))
    return path[:place] + rng.choice(("", "x", "/", "%2f", "%", "+")) + path[place + 1 :]


def _with_length(request: Good) -> Good:
    headers = [(name, value) for name, value in request.headers if name.lower() != "content-length"]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        headers.append(("Content-Length", str(len(request.body))))
    return replace(request, headers=tuple(headers))
