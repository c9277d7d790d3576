"""How others talk to a running supervisor: one line of JSON each way, over a socket in the service's folder.

The path of a Unix socket may have 107 bytes, the folder's path may be longer; so both sides name the socket through an
open descriptor of the folder.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from despina.errors import DespinaError, Internal, Unavailable

SOCKET = "control.sock"
FAILED = "failed"

LONGEST = 1 << 24
"""Bytes of a line: it may hold a specification, with all that is said about a service."""

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def listen(folder: Path, answer: Answer) -> asyncio.AbstractServer:
    """Answers each connection's one line; replaces the socket that a dead supervisor left."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line:
                writer.write(json.dumps(await _answered(answer, json.loads(line))).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    with suppress(FileNotFoundError):
        (folder / SOCKET).unlink()
    one = socket.socket(socket.AF_UNIX)
    with _short_path(folder) as path:
        one.bind(path)
    (folder / SOCKET).chmod(0o600)
    return await asyncio.start_unix_server(serve, sock=one, limit=LONGEST)


def ask(folder: Path, request: dict[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
    """A supervisor's answer; None when there is none. Raises Unavailable: it does not answer in that time. It may still
    do what it was asked to. Raises Internal: it could not do it."""
    try:
        with socket.socket(socket.AF_UNIX) as one, _short_path(folder) as path:
            one.settimeout(timeout)
            one.connect(path)
            one.sendall(json.dumps(request).encode() + b"\n")
            with one.makefile("rb") as answers:
                line = answers.readline()
    except (TimeoutError, BlockingIOError):  # the latter where as many wait already as the kernel lets wait
        raise Unavailable(f"the supervisor of service {folder.name} has not answered for {timeout:g} s") from None
    except (FileNotFoundError, ConnectionError):
        return None
    if not line.endswith(b"\n"):  # it died over it
        return None
    answer: dict[str, Any] = json.loads(line)
    if FAILED in answer:
        raise Internal(answer[FAILED])
    return answer


async def _answered(answer: Answer, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return await answer(request)
    except (DespinaError, OSError) as error:  # no answer at all would say that nobody is there
        return {FAILED: str(error)}


@contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
