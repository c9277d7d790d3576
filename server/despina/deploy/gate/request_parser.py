"""Requests out of the bytes of one connection: httptools, with limits, and without other protocols."""

from typing import Protocol

import httptools

from despina.deploy.gate.request_head import RequestHead

MOST_HEADER_BYTES = 1 << 16
MOST_DIGITS = len(str((1 << 64) - 1))


class BadRequest(Exception):
    """What came is no request. The parser is of no use any more."""


class Listener(Protocol):
    """Who hears of requests, one after another."""

    def request_begun(self, head: RequestHead) -> None: ...

    def request_body(self, data: bytes) -> None: ...

    def request_ended(self) -> None: ...


class RequestParser:
    """Tells its listener what bytes say."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._unfinished = 0
        self._progress = False
        self._in_body = False
        self._resuming = False
        self._refused = False

    def parse(self, data: bytes) -> None:
        """Raises BadRequest; the requests before it have been told of."""
        self._progress = False
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError:
            raise BadRequest from None
        # httptools collects a URL or a field until its end, however far that is.
        self._unfinished = 0 if self._progress else self._unfinished + len(data)
        if self._refused or max(self._header_bytes, self._unfinished) > MOST_HEADER_BYTES:
            raise BadRequest

    def _feed(self, data: bytes) -> None:
        """Where another protocol is asked for, httptools takes all that follows the head for that protocol, the body of
        the request too. There is none here, and then a server answers as if it had not been asked; so another parser,
        which has seen no such wish, goes on behind the head."""
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            self._parser = httptools.HttpRequestParser(self)
            framing = [pair for pair in self._headers if pair[0] in (b"content-length", b"transfer-encoding")]
            self._resuming = True
            try:
                lines = b"".join(b"%s: %s\r\n" % pair for pair in framing)
                self._parser.feed_data(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")
            finally:
                self._resuming = False

    # httptools' side

    def on_message_begin(self) -> None:
        if not self._resuming:
            self._url, self._headers, self._header_bytes = b"", [], 0

    def on_url(self, url: bytes) -> None:
        if not self._resuming:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        # What comes behind a chunked body is no part of the head, which may be on its way already.
        if self._header_bytes <= MOST_HEADER_BYTES and not self._in_body:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._progress = True
        if self._resuming:
            return
        self._refused = self._refused or self._header_bytes > MOST_HEADER_BYTES or not self._is_framed_plainly()
        if not self._refused:  # what follows in this piece is not answered in the place of one that is
            self._in_body = True
            self._listener.request_begun(self._head())

    def on_body(self, body: bytes) -> None:
        self._progress = True
        if self._in_body:
            self._listener.request_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        if self._in_body and not self._parser.should_upgrade():  # else see `_feed`
            self._in_body = False
            self._listener.request_ended()

    def _is_framed_plainly(self) -> bool:
        """Whether a body in chunks is nothing but that (of one that is compressed besides, nobody would be told), and a
        length no longer than 64 bits: Python reads no number of thousands of digits, be they all 0."""
        encodings = [value for name, value in self._headers if name == b"transfer-encoding"]
        lengths = [value for name, value in self._headers if name == b"content-length"]
        chunked = not encodings or b",".join(encodings).strip().lower() == b"chunked"
        return chunked and all(len(length.strip()) <= MOST_DIGITS for length in lengths)

    def _head(self) -> RequestHead:
        fields = dict(self._headers)
        length = None if b"transfer-encoding" in fields else int(fields.get(b"content-length", b"0"))
        return RequestHead(
            self._parser.get_method(),
            self._url,
            self._headers,
            fields,
            length,
            self._parser.should_keep_alive(),
            self._parser.get_http_version() == "1.0",
        )
