"""What the heads of requests came to, kept so that it is worked out once.

A client on a kept-alive connection sends the same head again and again. Proxies, gateways and tracers give each request
a header of its own (X-Request-ID, traceparent), which nobody here reads: heads that differ in nothing else are of one
kind, and what the first of them came to holds for all.
"""

import re
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from despina.remember import MAX_REMEMBERED, remember

READ = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"accept-encoding",
        b"inference-header-content-length",
        b"expect",
        b"upgrade",
        b"authorization",
        b"x-api-key",
    }
)
"""The headers that decide how a request is served. Old clients write the second one for the first, and the parser reads
it so."""

MAX_HEAD = 4096
MAX_SEEN = 4 * MAX_REMEMBERED

T = TypeVar("T")

_PLAIN = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.[01](?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ -~]*)*\r\n\r\n")
"""No parser finds fault with such a head for the headers that nobody reads (RFC 9112 §3, RFC 9110 §5)."""


class KnownHeads(Generic[T]):
    """What heads came to, by their bytes and by their kinds. A head goes up to and including the empty line."""

    def __init__(self, parse: Callable[[bytes], T], names: Iterable[bytes] = READ) -> None:
        """`parse` is asked once for each kind, and reads headers of these names, in lower case, only."""
        self._telling = re.compile(rb"\r\n(?:%b):[^\r]*" % b"|".join(map(re.escape, names)), re.IGNORECASE)
        self._parse = parse
        self._known: dict[bytes, T] = {}
        self._kinds: dict[bytes, T] = {}
        """By the lines that tell, one behind the other: as objects of their own, hundreds of short ones would take many
        times what a head does."""
        self._seen: dict[int, None] = {}
        """Hashes of heads that came once: to remember each would crowd out those that come again."""

    def find(self, head: bytes) -> T:
        """What `head` came to. One of more than MAX_HEAD bytes is parsed each time."""
        if head in self._known:
            return self._known[head]
        if len(head) > MAX_HEAD:
            return self._parse(head)
        found = self._find_like(head)
        if hash(head) in self._seen:
            return remember(self._known, head, found)
        remember(self._seen, hash(head), None, MAX_SEEN)
        return found

    def _find_like(self, head: bytes) -> T:
        if _PLAIN.fullmatch(head) is None:
            return self._parse(head)
        kind = b"".join((head[: head.index(b"\r\n")], *self._telling.findall(head)))
        try:
            return self._kinds[kind]
        except KeyError:
            return remember(self._kinds, kind, self._parse(head))
