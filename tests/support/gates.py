"""A gate between a client and an upstream that the test writes down byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httptools

from despina.deploy.gate.gate import Gate
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits
from despina.deploy.gate.upstreams import Address, Upstreams

BASE = "/api/v1/service/svc"


class Upstream:
    """Answers each request with what `respond` makes of it, as long as it is not held; remembers heads, bodies and
    connections."""

    def __init__(self, respond: Callable[[bytes, bytes], bytes] | None = None, *, held: bool = False) -> None:
        self.respond = respond or (lambda head, body: ok(body))
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.go_on = asyncio.Event()
        if not held:
            self.go_on.set()
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await read_body(reader, head)
                self.requests.append((head, body))
                self.arrived.set()
                await self.go_on.wait()
                response = self.respond(head, body)
                writer.write(response)
                await writer.drain()
                if not response or b"connection: close" in response:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class BegunUpstream(Upstream):
    """Begins its answers with "abc", and says no more."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await reader.read()
        writer.close()


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(await reader.readuntil(b"\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))


@asynccontextmanager
async def gate_before(
    upstream: Upstream, keys: Keys | None = None, limits: GateLimits | None = None, *, score: bool = False
) -> AsyncIterator[tuple[Gate, int]]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 24)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    gate = Gate(BASE, keys, limits or GateLimits())
    gate.upstreams = Upstreams(None, address) if score else Upstreams(address, None)
    try:
        yield gate, await gate.listen("127.0.0.1", 0)
    finally:
        await gate.close(1)
        server.close()


async def ask(port: int, request: bytes, *, head: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
    """Sends bytes, reads one response with httptools."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await read_response(reader, head=head)
    finally:
        writer.close()


async def at_work(
    upstream: Upstream, port: int, request: bytes | None = None
) -> asyncio.Task[tuple[int, dict[bytes, bytes], bytes]]:
    """The answer to a request that an upstream has, and holds."""
    asked = asyncio.create_task(ask(port, request or post("/v2/m/infer", b"1")))
    await upstream.arrived.wait()
    return asked


async def read_response(reader: asyncio.StreamReader, *, head: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
    class Response:
        def __init__(self) -> None:
            self.headers: dict[bytes, bytes] = {}
            self.body = b""
            self.done = False

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers[name.lower()] = value

        def on_headers_complete(self) -> None:
            self.done = self.done or head

        def on_body(self, data: bytes) -> None:
            self.body += data

        def on_message_complete(self) -> None:
            self.done = parser.get_status_code() >= 200

    response = Response()
    parser: Any = httptools.HttpResponseParser(response)
    while not response.done:
        data = await reader.read(1 << 16)
        if not data:
            raise ConnectionResetError(f"cut short after {response.body!r}")
        parser.feed_data(data)
    return parser.get_status_code(), response.headers, response.body


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


async def sent(writer: asyncio.StreamWriter) -> None:
    """Raises ConnectionError where the other side ends the connection; it may take a while to be seen."""
    while True:
        await writer.drain()
        writer.write(b"a")
        await asyncio.sleep(0.01)


async def answers(reader: asyncio.StreamReader) -> list[tuple[bytes, bytes]]:
    """Status and body of all answers until the connection ends."""
    found = []
    while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
        found.append((head.split()[1], await read_body(reader, head)))
        if b"connection: close" in head:
            break
    return found
