"""The gate of one service: what may pass, and to which generation."""

import asyncio
from contextlib import suppress

from despina.deploy.gate.client import ClientConnection
from despina.deploy.gate.concurrency import ConcurrencyLimit
from despina.deploy.gate.exchange import Exchange
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits
from despina.deploy.gate.upstream_connection import UpstreamConnection
from despina.deploy.gate.upstreams import Address, Upstreams

CONNECT_SECONDS = 10.0


class Gate:
    """One listener. Keys, limits and upstreams can be replaced at any time; requests in flight are not touched."""

    def __init__(self, base_path: str, keys: Keys | None, limits: GateLimits) -> None:
        self.base_path = base_path.encode()
        self.keys = keys
        self.limits = limits
        self.concurrency = ConcurrencyLimit(limits.concurrent, limits.queue_seconds)
        self.upstreams: Upstreams | None = None
        """Where requests go from now on; some may be in flight at those before."""
        self.reason = "this service is not ready yet"
        """What is answered as long as there are no upstreams."""
        self.clients: set[ClientConnection] = set()
        self.lingering: set[asyncio.Transport] = set()
        """Connections of clients that have all their answers."""
        self._last_gone: asyncio.Future[None] | None = None
        self.loop = asyncio.get_running_loop()
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Opens the public address, then closes the one before; returns its port. Raises OSError: the address is taken
        or not ours."""
        before = self._listener
        self._listener = await self.loop.create_server(lambda: ClientConnection(self), host, port, backlog=2048)
        if before is not None:
            before.close()
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    def set_limits(self, limits: GateLimits) -> None:
        """For requests from now on; those that wait already keep the limits they came under."""
        if limits != self.limits:
            self.limits = limits
            self.concurrency = ConcurrencyLimit(limits.concurrent, limits.queue_seconds)

    def connect(self, exchange: Exchange, address: Address) -> None:
        """Opens a connection for an exchange."""
        task = self.loop.create_task(self._connect(exchange, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def client_gone(self, client: ClientConnection) -> None:
        """Its connection has ended."""
        self.clients.discard(client)
        if self._last_gone is not None and not self.clients and not self._last_gone.done():
            self._last_gone.set_result(None)

    async def close(self, seconds: float) -> None:
        """Stops listening, lets requests in flight end for up to `seconds`, and drops the rest."""
        if self._listener is not None:
            self._listener.close()
        for client in list(self.clients):
            client.close_when_idle()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self.upstreams is not None:
                    await self.upstreams.quiet()
                if self.clients:  # an answer that is complete may still be on its way
                    self._last_gone = self.loop.create_future()
                    await self._last_gone
        if self.upstreams is not None:
            self.upstreams.close()
        for client in list(self.clients):
            client.abort()
        for connection in list(self.lingering):
            connection.abort()

    async def _connect(self, exchange: Exchange, address: Address) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, upstream = await self.loop.create_connection(UpstreamConnection, address.host, address.port)
        except OSError:  # TimeoutError is one
            exchange.connect_failed()
        else:
            exchange.connected(upstream)
