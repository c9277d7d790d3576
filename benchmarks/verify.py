"""Whether every answer is the answer to its own request."""

import http.client
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from benchmarks.workload import Workload

ANSWER_S = 60
"""Who takes longer for one answer does not answer."""
Answer = Callable[[dict[str, str], bytes], npt.NDArray[np.generic]]
Ask = Callable[[int, bytes], tuple[int, dict[str, str], bytes]]
"""Port and rendered request; status, headers and body of the answer."""
Check = Callable[[int, dict[str, str], bytes], None]
"""The number of a request, and the headers, by lower-case name, and body of its answer. Raises WrongAnswer, or what
Python raises where something else is to be read than there is."""


class WrongAnswer(Exception):
    """A server answered something else than what it was asked."""


def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send one rendered request on a connection of its own: status, headers by lower-case name, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.connect()
        connection.sock.sendall(request)
        response = http.client.HTTPResponse(connection.sock, method="POST")
        response.begin()
        body = response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body
    finally:
        connection.close()


def verify(
    port: int, workload: Workload, requests: list[bytes], read_answer: Answer, connections: int, ask: Ask = exchange
) -> None:
    """Send request number r, which carries row r, for all r over `connections` connections at once, and compare every
    answer with the row's own. Raises WrongAnswer, also for what is no answer at all, and OSError."""

    def check(row: int, headers: dict[str, str], body: bytes) -> None:
        got = read_answer(headers, body)
        if not workload.is_answer(row, got):
            raise WrongAnswer(f"{workload.name}: row {row} got another answer than the session's own: {got!r}")

    ask_all(port, workload.name, requests, check, connections, ask)


def ask_all(
    port: int, name: str, requests: Sequence[bytes], check: Check, connections: int, ask: Ask = exchange
) -> None:
    """`ask` all of them over `connections` connections at once, and `check` what comes back with status 200. Raises
    WrongAnswer, also for what is no answer at all or cannot be read, and OSError."""

    def one(row: int) -> None:
        try:
            status, headers, body = ask(port, requests[row])
        except http.client.HTTPException as error:
            raise WrongAnswer(f"{name}: row {row} was not answered in HTTP: {error!r}") from None
        if status != 200:
            raise WrongAnswer(f"{name}: row {row} was answered {status}: {body[:300]!r}")
        try:
            check(row, headers, body)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise WrongAnswer(f"{name}: row {row} was answered {body[:300]!r}: {error}") from None

    with ThreadPoolExecutor(min(connections, len(requests))) as pool:
        list(pool.map(one, range(len(requests))))
