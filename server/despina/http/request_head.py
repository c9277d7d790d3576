"""The head of an HTTP request as the infer lane sees it: parsed once (httptools), then known."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import partial

import httptools

from despina.http.auth import ApiKeys
from despina.http.compression import IN_THREAD_SIZE, negotiate
from despina.http.known_heads import READ, KnownHeads

_INFER_PATH = re.compile(rb"/v2/models/([^/%?]+)(?:/versions/([0-9]{1,18}))?/infer(?:\?.*)?")
HEAD_END = b"\r\n\r\n"
_UPGRADE = re.compile(rb"(?<=\n)upgrade(?=:)", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]{1,10}")
_PACKED = frozenset({b"gzip", b"deflate"})
_NOT_FOR_THE_LANE = frozenset({b"expect", b"upgrade"})
MAX_CONTENT_LENGTH = (1 << 31) - 1
CHUNKED = 1 << 62
"""In place of a Content-Length, and more than any request has."""


@dataclass(frozen=True, slots=True)
class InferHead:
    """The head of a plain infer request: POST, a Content-Length or a chunked body, nothing encoded but perhaps a small
    body of which the length is known.

    `content_length` is CHUNKED for a chunked body. `encoding` is that of the reply: "gzip", "deflate" or "" for none.
    `connection` is what the reply says of the connection: "close", "keep-alive" to a client of HTTP/1.0 that wishes so,
    or "" for what HTTP/1.1 takes for granted (RFC 9112 §9.3). `packed` says that the body is compressed.
    """

    model: str
    version: int | None
    content_length: int
    header_length: str | None
    encoding: str = ""
    connection: str = ""
    packed: bool = False


@dataclass(frozen=True, slots=True)
class LaneRules:
    """Which requests the lane must leave to the application.

    `required_header` (lower-case name, value) must be there for the inference API when it is restricted. With
    `compression` a reply is compressed where that is accepted. A request without one of the `keys` is left to the
    application, which refuses it. With `closed` set nothing goes through the lane, and with `trace_context` no request
    that is part of a trace elsewhere.
    """

    required_header: tuple[bytes, bytes] | None = None
    compression: bool = True
    keys: ApiKeys = field(default_factory=ApiKeys)
    closed: bool = False
    trace_context: bool = False

    @property
    def headers(self) -> frozenset[bytes]:
        """Those that decide, by their names in lower case."""
        required = {self.required_header[0]} if self.required_header is not None else set()
        return READ | required | ({b"traceparent"} if self.trace_context else set())


class RequestHeads(KnownHeads["InferHead | None"]):
    """What heads ask for by these rules. None stands for a head that is not the lane's business."""

    def __init__(self, rules: LaneRules) -> None:
        super().__init__(partial(parse, rules=rules), rules.headers)


def without_upgrade(head: bytes) -> bytes:
    """A head in which nobody asks for another protocol. There is none here, and then a server answers as if it had not
    been asked; the parser would take what follows for the other protocol, the body of the request too. Java's own
    client asks for HTTP/2 this way with the first request of every connection."""
    return _UPGRADE.sub(b"x-upgrade", head)


class SplitHead:
    """The same for a head that comes in pieces. What may be the beginning of the name is held back until more comes."""

    _NAME = b"\nupgrade:"

    def __init__(self) -> None:
        self._before = b""
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The next piece, and what may already be a part of the body behind it."""
        # What went on before belongs to the place a line or the head ends at.
        text = self._before + self._held + data
        end = text.find(HEAD_END)
        head, rest = (text, b"") if end < 0 else (text[:end], text[end:])
        begun = head.rfind(b"\n") if end < 0 else -1
        if 0 <= begun < len(head) - 1 and self._NAME.startswith(head[begun:].lower()):
            head, self._held = head[: begun + 1], head[begun + 1 :]
        else:
            self._held = b""
        passed = (without_upgrade(head) + rest)[len(self._before) :]
        self._before = (self._before + passed)[-3:]
        return passed


class HeadCollector:
    """Receives httptools' callbacks. Of the headers those count that have one of `names`, in lower case."""

    def __init__(self, names: Container[bytes]) -> None:
        self._names = names
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.repeated = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._names:
            self.repeated = self.repeated or name in self.headers
            self.headers[name] = value


def parse(head: bytes, rules: LaneRules) -> InferHead | None:
    """The InferHead of a head that the lane may serve, else None; never an error: the application answers those."""
    if rules.closed or not head.startswith(b"POST /v2/models/"):
        return None
    collector = HeadCollector(rules.headers)
    parser = httptools.HttpRequestParser(collector)
    try:
        # The last byte ends a message without a body, and then the parser does not know any more what this asks for.
        parser.feed_data(head[:-1])
        stays = parser.should_keep_alive()
        parser.feed_data(head[-1:])
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    match = _INFER_PATH.fullmatch(collector.url)
    version = parser.get_http_version()
    if match is None or collector.repeated or version not in ("1.0", "1.1"):
        return None
    length = _length(collector.headers)
    if length is None or (length == CHUNKED and version == "1.0") or not _is_plain(collector.headers, length, rules):
        return None
    header_length = collector.headers.get(b"inference-header-content-length")
    accepted = collector.headers.get(b"accept-encoding", b"")
    return InferHead(
        match.group(1).decode("latin-1"),
        int(match.group(2)) if match.group(2) else None,
        length,
        header_length.decode("latin-1") if header_length is not None else None,
        negotiate(accepted.decode("latin-1")) if rules.compression else "",
        _connection(version, stays),
        collector.headers.get(b"content-encoding") in _PACKED,
    )


def _connection(version: str, stays: bool) -> str:
    if not stays:
        return "close"
    return "keep-alive" if version == "1.0" else ""


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    """That of the body, CHUNKED, or None where it is not said as it should be, and once (RFC 9112 §6.3)."""
    coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if coding is not None:
        return CHUNKED if coding == b"chunked" and length is None else None
    if length is None or not _DIGITS.fullmatch(length) or int(length) > MAX_CONTENT_LENGTH:
        return None
    return int(length)


def _is_plain(headers: Mapping[bytes, bytes], length: int, rules: LaneRules) -> bool:
    if not _NOT_FOR_THE_LANE.isdisjoint(headers):
        return False
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding != b"identity" and (encoding not in _PACKED or length >= IN_THREAD_SIZE):
        return False
    if not rules.keys.admit(headers) or (rules.trace_context and b"traceparent" in headers):
        return False
    if rules.required_header is None:
        return True
    name, value = rules.required_header
    return headers.get(name) == value
