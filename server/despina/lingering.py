"""The end of a connection on which a client may still be sending.

Where a socket is closed and there is something in it that nobody has read, or something comes later, the kernel resets
the connection, and the client loses what of its answer it has not read yet. So the last answer is followed by the end
of what we send, and what comes is thrown away until the client ends too, for some time and up to some size.
"""

from __future__ import annotations

import asyncio
from array import array
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ
from typing import Any
from weakref import ref

QUIET_S = 2.0
"""From a client that takes part, something comes sooner, its end at least."""

LONGEST_S = 30.0
MOST_BYTES = 256 << 20

_THROWN_AWAY = bytearray(64 * 1024)
"""Where it goes: the same for all connections, since nobody looks at it."""


def linger(
    transport: asyncio.Transport, connection: asyncio.Protocol, open_ones: set[asyncio.Transport] | None = None
) -> None:
    """Close a connection once what has been written is sent. `connection` is lost then: it is told at once (with TLS,
    when the client has ended, too), and of nothing that may come yet. The transport is among the `open_ones` until it
    is closed."""
    if transport.is_closing():
        return
    kind = _Lingering if transport.can_write_eof() else _LingeringTls
    kind(transport, connection, set() if open_ones is None else open_ones).begin()


class _Lingering(asyncio.BufferedProtocol):
    """Takes a connection over. `_connection` is the one that has to be told of its loss."""

    def __init__(
        self, transport: asyncio.Transport, connection: asyncio.Protocol, open_ones: set[asyncio.Transport]
    ) -> None:
        self._transport = transport
        self._connection: asyncio.Protocol | None = connection
        self._open_ones = open_ones
        self._loop = asyncio.get_running_loop()
        self._left = MOST_BYTES
        self._is_quiet = False
        self._timer: asyncio.TimerHandle | None = None
        self._end_s = 0.0

    def begin(self) -> None:
        transport = self._transport
        self._open_ones.add(transport)
        transport.set_protocol(self)
        transport.write_eof()
        # With these limits we hear of it when all is sent.
        transport.set_write_buffer_limits(high=0)
        if not transport.is_reading():
            transport.resume_reading()
        if not transport.get_write_buffer_size():
            self.resume_writing()

    def pause_writing(self) -> None:
        """There is nothing to write."""

    def resume_writing(self) -> None:
        """All is sent."""
        if self._timer is None:
            self._end_s = self._loop.time() + LONGEST_S
            self._look_later()
            self._loop.call_soon(self._tell, None)

    def get_buffer(self, sizehint: int) -> bytearray:
        return _THROWN_AWAY

    def buffer_updated(self, nbytes: int) -> None:
        self._is_quiet = False
        self._left -= nbytes
        if self._left < 0:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self._transport)
        if self._timer is not None:
            self._timer.cancel()
        self._tell(exc)

    def _tell(self, exc: Exception | None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.connection_lost(exc)

    def _look_later(self) -> None:
        self._is_quiet = True
        self._timer = self._loop.call_later(QUIET_S, self._look)

    def _look(self) -> None:
        if self._is_quiet or self._loop.time() >= self._end_s:
            self._transport.abort()
        else:
            self._look_later()


class _LingeringTls(_Lingering):
    """TLS says by itself that this is the end, and then waits for the client to say so too. One that keeps a connection
    for later looks at it only then, and would hold up the end of a server for half a minute."""

    def begin(self) -> None:
        self._open_ones.add(self._transport)
        self._transport.set_protocol(self)
        self._transport.close()
        self._end_s = self._loop.time() + LONGEST_S
        self._look_later()

    def _look(self) -> None:
        unsent = self._transport.get_write_buffer_size() or _bytes(self._transport, TIOCOUTQ)
        self._is_quiet = not unsent
        super()._look()


class LingeringTransport:
    """A transport whose connection lingers when it is closed, and is among the `open_ones` then."""

    def __init__(
        self,
        transport: asyncio.Transport,
        connection: asyncio.Protocol,
        open_ones: set[asyncio.Transport] | None = None,
    ) -> None:
        self._transport = transport
        # The transport holds it as long as it is open. Each with the other in hand, both would wait for the collector.
        self._connection = ref(connection)
        self._open_ones = open_ones
        # As attributes, since a call in between would be one more for every answer.
        self.write = transport.write
        self.writelines = transport.writelines
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        connection = self._connection()
        if connection is not None and not self.is_closing():
            self.is_closing = lambda: True
            linger(self._transport, connection, self._open_ones)

    def close_clean(self) -> None:
        """Close a connection on which everything was read that has come so far. Lingering costs a fifth of a short
        request that brings a connection of its own, so it is left out where there is nothing in the socket."""
        if not self._transport.can_write_eof() or _bytes(self._transport, FIONREAD):
            self.close()
        else:
            self._transport.close()


def _bytes(transport: asyncio.Transport, which: int) -> int:
    """Those in the socket that have not been read (FIONREAD), or that the client has not got (TIOCOUTQ)."""
    sock = transport.get_extra_info("socket")
    found = array("i", [0])
    ioctl(sock.fileno(), which, found)
    return found[0]
