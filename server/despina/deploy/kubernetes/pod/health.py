"""The pod-only port: `/live`, `/ready` and `/metrics`, without a key. No Service leads to it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from despina.deploy.gate.gate import Gate

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
IN_FLIGHT = "despina_gate_requests_in_flight"
WAITING = "despina_gate_requests_waiting"
LONGEST_HEAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    text: str
    content_type: str = "text/plain; charset=utf-8"

    def encode(self) -> bytes:
        body = self.text.encode()
        head = f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nContent-Type: {self.content_type}\r\n"
        return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class Health:
    """`behind` says whether what is behind the gate answers; `ending` takes the pod out of the Service."""

    def __init__(self, gate: Gate, service: str, behind: Callable[[], Awaitable[bool]]) -> None:
        self.ending = False
        self._gate = gate
        self._service = service
        self._behind = behind

    async def listen(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, host, port)

    async def answer(self, path: str) -> Answer:
        match path:
            case "/live":
                return Answer(HTTPStatus.OK, "live\n")
            case "/ready":
                return await self._ready()
            case "/metrics":
                return Answer(HTTPStatus.OK, self._metrics(), METRICS_TYPE)
        return Answer(HTTPStatus.NOT_FOUND, "here are /live, /ready and /metrics\n")

    async def _ready(self) -> Answer:
        if self.ending:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "ending\n")
        if not await self._behind():
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "what is behind the gate does not answer\n")
        return Answer(HTTPStatus.OK, "ready\n")

    def _metrics(self) -> str:
        # Requests that wait count as in flight: an autoscaler must see the load that finds no place.
        waiting = self._gate.concurrency.waiting
        label = f'{{service="{self._service}"}}'
        return (
            f"# HELP {IN_FLIGHT} Requests at work or waiting for a place.\n# TYPE {IN_FLIGHT} gauge\n"
            f"{IN_FLIGHT}{label} {self._gate.concurrency.at_work + waiting}\n"
            f"# HELP {WAITING} Requests waiting for a place.\n# TYPE {WAITING} gauge\n"
            f"{WAITING}{label} {waiting}\n"
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(LONGEST_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                words = head.split(b" ", 2)
                path = words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else ""
                writer.write((await self.answer(path)).encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
