"""Waiting until a child answers."""

import asyncio

from despina.deploy.supervisor.child import Child
from despina.deploy.supervisor.listening import has_port

PAUSE_SECONDS = 0.05


async def answers(child: Child, host: str, port: int, path: str) -> bool:
    """True when GET `path` gives 200, and it is the child's answer; False when the child ends before.

    A server says only by answering that it can; so this asks, 20 times a second, while the child lives.
    """
    while not child.ended:
        try:
            async with asyncio.timeout(5):
                # Somebody else's server may have been faster to the port; its answer says nothing about ours.
                if await _status(host, port, path) == 200 and has_port(child.pid, port):
                    return True
        except (OSError, ValueError, IndexError):  # the latter two of an answer that is not HTTP's
            pass
        await asyncio.sleep(PAUSE_SECONDS)
    return False


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        return int(line.split()[1]) if line.startswith(b"HTTP/1.") else 0
    finally:
        writer.close()
