import asyncio

import pytest

from despina.deploy.http_status import status_of
from despina.deploy.supervisor.commands import free_port

HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 503\r\n\r\n", 503),
        (b"HTTP/1.1\r\n\r\n", 0),
        (b"HTTP/1.1 OK\r\n\r\n", 0),
        (b"HTTP/1.1 " + b"2" * 5000 + b"\r\n\r\n", 0),
        (b"SSH-2.0-OpenSSH\r\n", 0),
        (b"x" * 100_000, 0),
        (b"", 0),
    ],
    ids=["fine", "not fine", "no status", "a word", "many digits", "another protocol", "an endless line", "nothing"],
)
async def test_status_is_that_of_an_answer_in_http(said: bytes, status: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        assert await status_of(HOST, server.sockets[0].getsockname()[1], "/") == status


async def test_nobody_answers_at_a_port_that_is_closed() -> None:
    assert await status_of(HOST, free_port(), "/") == 0
