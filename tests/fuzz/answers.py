"""Reading what a server sent: one HTTP response after another, out of bytes."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """`size` is the number of bytes it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    size: int


def first_answer(data: bytes) -> Answer | None:
    """The response `data` begins with, None as long as it is not all there. Raises ValueError if that is none."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.decode("latin-1").split("\r\n")
    version, status = lines[0].split(" ")[:2]
    if version != "HTTP/1.1":
        raise ValueError(lines[0])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if int(status) < 200:
        return Answer(int(status), headers, b"", len(head) + 4)
    if headers.get("transfer-encoding") == "chunked":
        chunks = _dechunked(rest)
        return Answer(int(status), headers, chunks[0], len(head) + 4 + chunks[1]) if chunks else None
    length = int(headers["content-length"])
    if len(rest) < length:
        return None
    return Answer(int(status), headers, rest[:length], len(head) + 4 + length)


def all_answers(data: bytes) -> Iterator[Answer]:
    """Every response in `data`, but for a last one that is cut short: who hangs up gets no more. Raises ValueError when
    something else is there."""
    while data:
        answer = first_answer(data)
        if answer is None:
            if data.startswith(b"HTTP/1.1 "):
                return
            raise ValueError(f"not a whole response: {data[:200]!r}")
        yield answer
        data = data[answer.size :]


def _dechunked(data: bytes) -> tuple[bytes, int] | None:
    body, position = b"", 0
    while (end := data.find(b"\r\n", position)) >= 0:
        size = int(data[position:end], 16)
        if len(data) < end + 4 + size:
            return None
        body += data[end + 2 : end + 2 + size]
        position = end + 4 + size
        if not size:
            return body, position
    return None
