"""Where one generation of a service answers, and the idle connections to it."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from despina.deploy.gate.routing import Destination

if TYPE_CHECKING:
    from despina.deploy.gate.upstream_connection import UpstreamConnection

REUSE_SECONDS = 2.0
"""Servers close connections that idle for 5 s or more; one that idled less is surely open."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


class Upstreams:
    """Those of one generation. `in_flight` requests keep it alive after another has taken over."""

    def __init__(self, server: Address | None, score: Address | None) -> None:
        self.addresses = {
            key: value for key, value in ((Destination.SERVER, server), (Destination.SCORE, score)) if value is not None
        }
        self.in_flight = 0
        self._idle: dict[Destination, list[UpstreamConnection]] = {key: [] for key in self.addresses}
        self._quiet = asyncio.Event()
        self._quiet.set()

    def enter(self) -> None:
        self.in_flight += 1
        self._quiet.clear()

    def leave(self) -> None:
        self.in_flight -= 1
        if self.in_flight == 0:
            self._quiet.set()

    async def quiet(self) -> None:
        """Returns when no request is in flight."""
        await self._quiet.wait()

    def take_idle(self, destination: Destination, now: float) -> "UpstreamConnection | None":
        """An idle connection that the other side has had no time to close."""
        idle = self._idle[destination]
        while idle:
            connection = idle.pop()
            if connection.usable(now - REUSE_SECONDS):
                return connection
            connection.close()
        return None

    def give_back(self, destination: Destination, connection: "UpstreamConnection") -> None:
        self._idle[destination].append(connection)

    def close(self) -> None:
        """Closes what idles."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
            connections.clear()
