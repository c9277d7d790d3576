"""A port that is held for the front ends of one server, from before its models are loaded until it ends.

Front ends share a port through SO_REUSEPORT, and the system would let in anybody of the same user who sets that option
too: half of the clients would end up at a server they do not mean. To look whether the port is free before sharing it
is no way out, for another server may look at the same moment. One step must both look and take, and that is `listen`:
of all sockets without SO_REUSEPORT only one can listen, whether their addresses are equal or one contains the other.
(Within the same microseconds each may be refused because of the other. Never do both get the port.)

So a socket listens, not to accept anything, but to win. It goes on to hold the port when it does not listen any more,
because sockets that neither listen nor have SO_REUSEADDR keep others off. Only for binding it needs that option, or the
connections of the last server would keep it off for a minute. Nothing needs to be cleaned up after a crash: sockets end
with their process.
"""

from __future__ import annotations

import socket

from despina.http.listener import bind, taken


def hold_port(address: str, port: int) -> socket.socket:
    """A socket that keeps everybody else off a port; 0 means any that is free. Raises Unavailable when somebody has
    it."""
    if port == 0:
        # A socket that was given its port, and did not name it, loses it when it stops listening.
        with bind(address, 0, False, "HTTP") as free:
            return hold_port(address, free.getsockname()[1])
    sock = bind(address, port, False, "HTTP")
    try:
        sock.listen(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        sock.shutdown(socket.SHUT_RD)
    except OSError as error:
        sock.close()
        raise taken(address, port, "HTTP", error) from None
    return sock


def share_port(held: socket.socket) -> None:
    """Let those in who set SO_REUSEPORT: the front ends."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
