"""Waiting until a child answers."""

import asyncio

from despina.deploy.http_status import status_of
from despina.deploy.supervisor.child import Child
from despina.deploy.supervisor.listening import has_port

PAUSE_SECONDS = 0.05


async def answers(child: Child, host: str, port: int, path: str) -> bool:
    """True when GET `path` gives 200, and it is the child's answer; False when the child ends before.

    A server says only by answering that it can; so this asks, 20 times a second, while the child lives.
    """
    while not child.ended:
        # Somebody else's server may have been faster to the port; its answer says nothing about ours.
        if await status_of(host, port, path) == 200 and has_port(child.pid, port):
            return True
        await asyncio.sleep(PAUSE_SECONDS)
    return False
