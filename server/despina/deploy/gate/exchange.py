"""One request and its response, on their way through the gate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from despina.deploy.gate.answers import RETRY_SOON, UNAUTHORIZED, answer
from despina.deploy.gate.concurrency import Turn
from despina.deploy.gate.keys import opens
from despina.deploy.gate.request_body import RequestBody
from despina.deploy.gate.request_head import RequestHead
from despina.deploy.gate.response_head import ResponseHead, response_head
from despina.deploy.gate.routing import Destination, destination, is_work, strip_base
from despina.deploy.gate.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from despina.deploy.gate.client import ClientConnection
    from despina.deploy.gate.gate import Gate
    from despina.deploy.gate.upstreams import Upstreams

LONGEST_ID = 100


class Exchange:
    """Created when a request's head is complete; ends when its response is written and its body is read."""

    def __init__(self, gate: Gate, client: ClientConnection, head: RequestHead) -> None:
        self._gate = gate
        self._concurrency = gate.concurrency
        self._client = client
        self._head = head
        self.body = RequestBody(head.length)
        self.started = False
        self._cut: tuple[int, str] | None = None
        self._turn: Turn | None = None
        self._upstreams: Upstreams | None = None
        self._destination = Destination.SERVER
        self._connection: UpstreamConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._response: ResponseHead | None = None
        """The head that the client has got."""
        self.keep_alive = head.keep_alive
        self.over = False

    # The request comes in

    def start(self) -> None:
        """Checks the request and sends it on, when its turn has come."""
        head, gate = self._head, self._gate
        self.started = True
        head.path = strip_base(head.path, gate.base_path)
        if self._cut is not None:
            return self._refuse(*self._cut)
        if gate.keys is not None and not opens(gate.keys, head.get(b"authorization")):
            return self._refuse(401, "a key of this service is needed: Authorization: Bearer KEY", UNAUTHORIZED)
        if head.method == b"CONNECT":
            # Upstreams may differ on whether it has a body, and take that for a request: of whoever comes next.
            return self._refuse(405, "CONNECT is for proxies, and this is none")
        if max(head.length or 0, self.body.received) > gate.limits.body_bytes:
            return self._too_large()
        if len(head.get(b"x-request-id") or b"") > LONGEST_ID:
            return self._refuse(431, f"x-request-id must not exceed {LONGEST_ID} characters")
        if gate.upstreams is None:
            return self._refuse(503, gate.reason, RETRY_SOON)
        if is_work(head.method, head.path):
            self._turn = Turn(self._connect, self._waited_too_long)
            self._concurrency.ask(self._turn)
        else:
            self._connect()
        return None

    def request_body(self, data: bytes) -> None:
        self.body.received += len(data)
        if self.over:
            return
        if self.started and self.body.received > self._gate.limits.body_bytes:
            self._too_large()
        else:
            self._send(self.body.framed(data))

    def request_end(self) -> None:
        if self.body.end and not self.over:
            self._send(self.body.end)
        self.body.complete = True
        if self.over:
            self._client.exchange_done(self)

    def cut_short(self, status: int, message: str) -> None:
        """The rest of the body will not come."""
        self.keep_alive = False
        if self.over:
            self._client.exchange_done(self)
        elif self._response is not None:
            self._client.abort()
        elif self.started:
            self._refuse(status, message)
            self._client.exchange_done(self)  # at once: nothing is on its way that could take the answer with it
        else:
            self._cut = status, message

    def client_lost(self) -> None:
        """Nobody waits for the answer any more."""
        if not self.over:
            self._end(reusable=False)

    def _too_large(self) -> None:
        if self._response is not None:
            self._client.abort()
        else:
            self._refuse(413, f"the body is larger than {self._gate.limits.body_bytes} bytes")

    # To the upstream

    def _waited_too_long(self) -> None:
        wait = self._gate.limits.queue_seconds
        self._refuse(503, f"no free place within {wait * 1000:.0f} ms (maxQueueWaitMs)", RETRY_SOON)

    def _connect(self) -> None:
        upstreams = self._gate.upstreams
        assert upstreams is not None, "`start` has looked, and a gate keeps having one"
        upstreams.enter()
        self._upstreams = upstreams
        addresses = upstreams.addresses
        server, score = Destination.SERVER in addresses, Destination.SCORE in addresses
        self._destination = destination(self._head.path, server=server, score=score)
        if self._gate.limits.answer_seconds is not None:
            self._timer = self._gate.loop.call_later(self._gate.limits.answer_seconds, self._took_too_long)
        idle = upstreams.take_idle(self._destination, self._gate.loop.time())
        if idle is not None:
            self._connected(idle)
        else:
            self._gate.connect(self, addresses[self._destination])

    def connected(self, connection: UpstreamConnection) -> None:
        """A new connection is open."""
        if self.over:
            connection.close()
        else:
            self._connected(connection)

    def connect_failed(self) -> None:
        if not self.over:
            self._refuse(503, f"{self._destination.value} of this service cannot be reached", RETRY_SOON)

    def _connected(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.begin(self)
        if self._client.full:
            connection.pause_reading()
        head = self._head.forwarded(self._client.peer, keyed=self._gate.keys is not None)
        connection.write(head + self.body.kept())
        self._client.resume_reading()

    def _send(self, piece: bytes) -> None:
        self.body.keep(piece, sent=self._connection is not None)
        if self._connection is not None:
            self._connection.write(piece)
        elif not self.body.replayable:
            self._client.pause_reading()

    def pause_request(self) -> None:
        self._client.pause_reading()

    def resume_request(self) -> None:
        self._client.resume_reading()

    # The response comes back

    def response_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._response = response_head(self._head, status, headers, keep_alive=self.keep_alive)
        self.keep_alive = self._response.keep_alive
        self._client.write(self._response.text)
        if self._head.method == b"HEAD":  # the parser would wait for the body that the length announces
            self.response_end(keep_alive=False)

    def response_body(self, data: bytes) -> None:
        assert self._response is not None
        self._client.write(self._response.framed(data))

    def response_end(self, *, keep_alive: bool) -> None:
        if self.over:
            return
        assert self._response is not None
        if self._response.end:
            self._client.write(self._response.end)
        self._end(reusable=keep_alive and self.body.complete)

    def pause_response(self) -> None:
        if self._connection is not None:
            self._connection.pause_reading()

    def resume_response(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()

    def upstream_lost(self) -> None:
        """The connection ended before the response did."""
        connection, self._connection = self._connection, None
        if self.over:
            return
        if self._response is not None:
            if self._response.until_eof:
                self.response_end(keep_alive=False)
            else:
                self._client.abort()  # the client must see that the response is cut short
        elif connection is not None and not connection.fresh and self.body.replayable:
            assert self._upstreams is not None
            self._gate.connect(self, self._upstreams.addresses[self._destination])
        else:
            self._refuse(502, f"{self._destination.value} of this service ended the connection without an answer")

    def _took_too_long(self) -> None:
        self._timer = None
        limit = self._gate.limits.answer_seconds or 0
        if self._response is not None:
            self._client.abort()
        else:
            self._refuse(504, f"no answer within {limit * 1000:.0f} ms (scoringTimeoutMs)")

    # The end

    def _refuse(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        if not self.body.soon_read:
            self.keep_alive = False
        if not self.keep_alive:
            headers = (*headers, (b"connection", b"close"))
        elif self._head.http_10:
            headers = (*headers, (b"connection", b"keep-alive"))
        response = answer(status, message, self._head.path, headers)
        self._client.write(
            response if self._head.method != b"HEAD" else response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        )
        self._end(reusable=False)

    def _end(self, *, reusable: bool) -> None:
        self.over = True
        connection, self._connection = self._connection, None
        turn, self._turn = self._turn, None  # which leads back to this object
        if self._timer is not None:
            self._timer.cancel()
        if connection is not None:
            connection.finish(self._gate.loop.time())
            if reusable and self._upstreams is not None:
                self._upstreams.give_back(self._destination, connection)
            else:
                connection.close()
        if turn is not None:
            # First, so that the upstreams are not quiet between this request and the next.
            self._concurrency.end(turn)
        if self._upstreams is not None:
            self._upstreams.leave()
        self._client.resume_reading()
        if self.body.complete or not self.keep_alive:
            self._client.exchange_done(self)
