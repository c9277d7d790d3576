"""The port for gRPC, with sockets: TLS, and the end."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import make_certificates
from tests.support.grpc_calls import call_headers
from tests.support.http2 import frames

from despina.errors import InvalidArgument, Unavailable
from despina.grpc.http2.frames import PREFACE, Flag, Kind, frame, goaway
from despina.grpc.http2.header_blocks import literal
from despina.grpc.http2.leave import QUESTION
from despina.grpc.listener import GrpcListener
from despina.grpc.method import SERVICE
from despina.grpc.tls import tls_context
from despina.http.listener import bind
from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings

HELLO = PREFACE + frame(Kind.SETTINGS, 0, 0)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_certificates(directory)
    return directory


@asynccontextmanager
async def listening(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[GrpcListener, int]]:
    """A server without models, and its port; it is stopped at the end, or the test fails."""
    server = Server(
        Settings(model_repository=(tmp_path,), allow_metrics=False, **settings),
        LoopClock(asyncio.get_running_loop()),
    )
    with bind("127.0.0.1", 0, False, "GRPC") as sock:
        listener = GrpcListener(server, sock)
        await listener.start()
        yield listener, sock.getsockname()[1]
        async with asyncio.timeout(10):
            await listener.stop()


def encrypted(keys: Path, name: str | None = None) -> ssl.SSLContext:
    """Of a client that shows the certificate `name`."""
    context = ssl.create_default_context(cafile=str(keys / "server.pem"))
    context.set_alpn_protocols(["h2"])
    if name is not None:
        context.load_cert_chain(keys / f"{name}.pem", keys / f"{name}.key")
    return context


async def greeted(port: int, context: ssl.SSLContext | None = None) -> bytes:
    """What the server begins with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(HELLO)
        return await reader.readexactly(9)
    finally:
        writer.close()


async def test_everybody_hears_of_the_end(tmp_path: Path) -> None:
    async with listening(tmp_path) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        said = await reader.readexactly(9)
        stopping = asyncio.create_task(listener.stop())
        said += await reader.read()
        assert Kind.GOAWAY in [one.kind for one in frames(said)]
        writer.close()
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_the_end_waits_for_calls(tmp_path: Path) -> None:
    done = asyncio.Event()

    async def index(ready: bool) -> list[Any]:
        await done.wait()
        return []

    async with listening(tmp_path) as (listener, port):
        listener._service._server.models.index = index  # type: ignore[method-assign]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        headers = call_headers(f"/{SERVICE}/RepositoryIndex").items()
        block = b"".join(literal(name.encode(), value.encode()) for name, value in headers)
        ping = frame(Kind.PING, 0, 0, bytes(8))
        request = frame(Kind.HEADERS, Flag.END_HEADERS, 1, block) + frame(Kind.DATA, Flag.END_STREAM, 1, bytes(5))
        writer.write(HELLO + request + ping)
        await reader.readuntil(frame(Kind.PING, Flag.ACK, 0, bytes(8)))
        stopping = asyncio.create_task(listener.stop())
        question = frame(Kind.PING, 0, 0, QUESTION)
        await reader.readuntil(question)
        writer.write(frame(Kind.PING, Flag.ACK, 0, QUESTION))
        await reader.readuntil(goaway(1, 0))
        assert not stopping.done()
        done.set()
        said = list(frames(await reader.read()))
        assert [one.kind for one in said if one.stream == 1] == [Kind.HEADERS, Kind.DATA, Kind.HEADERS]
        writer.close()
        await stopping


@pytest.mark.parametrize("sent", [b"", HELLO], ids=["silent", "in the clear"])
async def test_who_does_not_speak_tls_is_no_client(tmp_path: Path, keys: Path, sent: bytes) -> None:
    """Neither kept nor waited for."""
    files = {"grpc_server_cert": keys / "server.pem", "grpc_server_key": keys / "server.key"}
    async with listening(tmp_path, grpc_use_ssl=True, grpc_max_connection_age=1, **files) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        if sent:  # it is hung up on
            async with asyncio.timeout(10):
                await reader.read()
        assert (await greeted(port, encrypted(keys)))[3] == Kind.SETTINGS
        async with asyncio.timeout(10):
            await listener.stop()
        writer.close()


async def test_a_port_that_somebody_listens_to_already(tmp_path: Path) -> None:
    server = Server(Settings(model_repository=(tmp_path,), allow_metrics=False), LoopClock(asyncio.get_running_loop()))
    with bind("127.0.0.1", 0, True, "GRPC") as first:
        port = first.getsockname()[1]
        with socket.socket() as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            first.listen()
            with pytest.raises(Unavailable, match=str(port)):
                bind("127.0.0.1", port, False, "GRPC")
        await GrpcListener(server, first).stop()


@pytest.mark.parametrize(
    "names",
    [
        {
            "grpc_use_ssl_mutual": True,
            "grpc_server_cert": "server.pem",
            "grpc_server_key": "server.key",
            "grpc_root_cert": "client.pem",
        },
        {"http_tls_cert": "server.pem", "http_tls_key": "server.key", "http_tls_client_ca": "client.pem"},
    ],
)
async def test_only_clients_with_a_certificate_that_is_signed(
    tmp_path: Path, keys: Path, names: dict[str, Any]
) -> None:
    settings = {key: value if value is True else keys / value for key, value in names.items()}
    async with listening(tmp_path, **settings) as (_, port):
        assert (await greeted(port, encrypted(keys, "client")))[3] == Kind.SETTINGS
        for name in (None, "server"):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await greeted(port, encrypted(keys, name))


async def test_encryption_alone_asks_clients_for_nothing(tmp_path: Path, keys: Path) -> None:
    settings = {"http_tls_cert": keys / "server.pem", "http_tls_key": keys / "server.key"}
    async with listening(tmp_path, **settings) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=encrypted(keys))
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


def test_without_any_settings_nothing_is_encrypted(tmp_path: Path, keys: Path) -> None:
    files = {"grpc_server_cert": keys / "server.pem", "grpc_server_key": keys / "server.key"}
    assert tls_context(Settings(model_repository=(tmp_path,), **files)) is None


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({}, "--grpc-use-ssl needs --grpc-server-cert and --grpc-server-key"),
        ({"grpc_server_cert": "none.pem"}, "none.pem' for gRPC: No such file or directory"),
        ({"grpc_server_cert": "server.pem", "grpc_server_key": "client.key"}, "client.key' for gRPC: "),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, keys: Path, names: dict[str, str], text: str) -> None:
    files: dict[str, Any] = {key: keys / name for key, name in names.items()}
    with pytest.raises(InvalidArgument) as refused:
        tls_context(Settings(model_repository=(tmp_path,), grpc_use_ssl=True, **files))
    assert text in refused.value.message
