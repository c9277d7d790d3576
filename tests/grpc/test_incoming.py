"""Messages out of the data of a request, and the room that large ones claim before they come."""

import tracemalloc
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.clocks import VirtualClock
from tests.support.grpc_calls import prefixed

from despina.errors import DespinaError, Internal, InvalidArgument, RequestTimeout
from despina.grpc.call_head import read_call_head
from despina.grpc.http2.connection import STREAM_WINDOW
from despina.grpc.incoming import MAX_MESSAGE, Incoming, inflate
from despina.http.body_budget import SMALLEST_CLAIM, BodyBudget

LARGE = SMALLEST_CLAIM


class Sender:
    """A request that arrives, and what it is granted."""

    def __init__(self, budget: BodyBudget | None = None, encoding: bytes = b"identity", limit: int = 1000) -> None:
        server: Any = SimpleNamespace(body_budget=budget, limits=SimpleNamespace(max_input_size=limit))
        self.stream: Any = SimpleNamespace(grant=self._grant, receive_window=STREAM_WINDOW)
        self.granted = 0
        self.errors: list[Exception] = []
        self.incoming = Incoming(
            server, self.stream, read_call_head([(b"grpc-encoding", encoding)]), self.errors.append
        )

    def _grant(self, size: int) -> None:
        assert size > 0
        self.granted += size
        self.stream.receive_window += size

    def feed(self, data: bytes) -> list[bytes]:
        self.stream.receive_window -= len(data)
        assert self.stream.receive_window >= 0
        found = [bytes(self.incoming.plain(message)) for message in self.incoming.feed(data, 0, len(data))]
        self.incoming.go_on()
        return found


def budget(limit: int) -> tuple[BodyBudget, VirtualClock]:
    clock = VirtualClock()
    return BodyBudget(limit, clock), clock


@pytest.mark.parametrize("step", [1, 2, 4, 5, 6, 7, 11, 100, 300_000])
def test_messages_may_be_cut_anywhere(step: int) -> None:
    messages = [b"", b"a", b"", b"bc" * 10, bytes(200_000) if step > 50 else b"x", b"last", b""]
    data = b"".join(prefixed(message) for message in messages)
    sender = Sender(budget(1 << 20)[0])
    sender.stream.receive_window = len(data)
    found: list[bytes] = []
    for at in range(0, len(data), step):
        found += sender.feed(data[at : at + step])
    assert found == messages
    assert not sender.incoming.partial


def test_a_message_has_begun_with_its_first_byte() -> None:
    sender, data = Sender(), prefixed(b"ab")
    assert not sender.incoming.partial
    for at in range(len(data) - 1):
        sender.feed(data[at : at + 1])
        assert sender.incoming.partial
    assert sender.feed(data[-1:]) == [b"ab"]
    assert not sender.incoming.partial


def test_only_the_bytes_between_the_positions_count() -> None:
    data = b"??" + prefixed(b"abc") + prefixed(b"d")[:4] + b"??"
    incoming = Sender().incoming
    assert [bytes(message) for message in incoming.feed(data, 2, len(data) - 2)] == [b"abc"]
    assert incoming.partial


def test_a_message_that_came_at_once_is_not_copied() -> None:
    data = prefixed(b"abc")
    (message,) = Sender().incoming.feed(data, 0, len(data))
    assert message.obj is data


@pytest.mark.parametrize("size", [10_000, 2 * LARGE, 10 * LARGE])
def test_a_client_may_send_as_much_as_is_missing(size: int) -> None:
    sender = Sender(budget(10 * LARGE)[0])
    sender.feed(prefixed(bytes(size))[:100])
    missing = size - 95
    assert sender.stream.receive_window == max(missing, STREAM_WINDOW - 100)


def test_a_client_may_send_the_next_message_while_one_is_looked_at() -> None:
    sender, data = Sender(), prefixed(bytes(STREAM_WINDOW // 4 - 5))
    windows: list[int] = []
    for _ in range(3):
        sender.feed(data)
        windows.append(sender.stream.receive_window)
    assert windows == [3 * STREAM_WINDOW // 4, STREAM_WINDOW // 2, STREAM_WINDOW]


@pytest.mark.parametrize("size", [LARGE - 1, LARGE])
def test_room_is_claimed_for_large_messages_until_they_are_there(size: int) -> None:
    room, _ = budget(10 * LARGE)
    sender, data = Sender(room), prefixed(bytes(size))
    assert sender.feed(data[:100]) == []
    assert room.held == (size if size >= LARGE else 0)
    assert sender.feed(data[100:]) == [bytes(size)]
    assert room.held == 0


def test_without_room_a_message_waits_and_may_come_later() -> None:
    room, _ = budget(3 * LARGE)
    first, second = Sender(room), Sender(room)
    data = prefixed(bytes(2 * LARGE))
    for sender in (first, second):
        sender.feed(data[:50_000])
    missing = len(data) - 50_000
    assert first.stream.receive_window == missing
    assert second.granted == 0
    first.feed(data[50_000:])
    assert second.stream.receive_window == missing
    assert second.feed(data[50_000:]) == [data[5:]]
    assert room.held == 0


@pytest.mark.parametrize("waits", [False, True])
def test_a_message_that_is_given_up_gives_its_room_back(waits: bool) -> None:
    room, _ = budget(3 * LARGE)
    first, second = Sender(room), Sender(room)
    data = prefixed(bytes(2 * LARGE))
    first.feed(data[:100])
    second.feed(data[:100])
    given_up, other = (second, first) if waits else (first, second)
    given_up.incoming.drop()
    given_up.incoming.drop()
    assert other.stream.receive_window == len(data) - 100
    assert (room.held, room.waiting) == (2 * LARGE, 0)
    other.incoming.drop()
    assert room.held == 0


def test_who_sends_too_slowly_while_others_wait_is_refused() -> None:
    room, clock = budget(3 * LARGE)
    slow, fast = Sender(room), Sender(room)
    data = prefixed(bytes(2 * LARGE))
    slow.feed(data[:5])
    fast.feed(data[:5])
    slow.feed(data[5:105])
    clock.advance(30_001)
    (error,) = slow.errors
    assert isinstance(error, RequestTimeout)
    assert f"a body of {2 * LARGE} bytes" in error.message
    assert "got 100 bytes" in error.message
    assert (fast.stream.receive_window, fast.errors) == (2 * LARGE, [])


def test_who_keeps_a_pace_is_not() -> None:
    room, clock = budget(3 * LARGE)
    steady, waiting = Sender(room), Sender(room)
    data = prefixed(bytes(2 * LARGE))
    steady.feed(data[:5])
    waiting.feed(data[:5])
    steady.feed(data[5 : LARGE // 4])
    clock.advance(30_001)
    assert steady.errors == waiting.errors == []


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, 0xFFFFFFFF])
def test_a_message_that_is_too_large(size: int) -> None:
    sender = Sender()
    with pytest.raises(InvalidArgument, match=f"a message of {size} bytes exceeds the maximum of {MAX_MESSAGE} bytes"):
        sender.feed(b"\0" + size.to_bytes(4) + b"x")


def test_the_largest_message_may_begin() -> None:
    sender = Sender()
    assert sender.feed(b"\0" + MAX_MESSAGE.to_bytes(4) + b"x") == []
    sender.incoming.drop()


@pytest.mark.parametrize(("encoding", "wbits"), [(b"gzip", 31), (b"deflate", 15)])
def test_compressed_messages_are_unpacked(encoding: bytes, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(b"a" * 1000) + packer.flush()
    sender = Sender(encoding=encoding)
    data = b"\1" + len(packed).to_bytes(4) + packed + prefixed(b"plain")
    assert sender.feed(data) == [b"a" * 1000, b"plain"]
    assert sender.feed(data[:10]) + sender.feed(data[10:]) == [b"a" * 1000, b"plain"]


def test_a_compressed_message_needs_its_encoding() -> None:
    with pytest.raises(Internal, match="grpc-encoding"):
        Sender().feed(prefixed(b"a", packed=True))


@pytest.mark.parametrize(
    ("packed", "kind", "text"),
    [
        (
            zlib.compress(bytes(1001)),
            InvalidArgument,
            "Decompressed data size exceeds the maximum allowed value of 1000",
        ),
        (zlib.compress(bytes(1000))[:-1], Internal, "a compressed message that is cut short"),
        (b"", Internal, "a compressed message that is cut short"),
        (b"abc", Internal, "a compressed message that is corrupt"),
    ],
)
def test_what_cannot_be_unpacked(packed: bytes, kind: type[DespinaError], text: str) -> None:
    with pytest.raises(kind, match=text):
        inflate(memoryview(packed), 1000)


def test_what_is_too_large_is_not_unpacked_as_a_whole() -> None:
    packed = memoryview(zlib.compress(bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgument):
            inflate(packed, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_message_of_the_largest_size_is_unpacked() -> None:
    assert inflate(memoryview(zlib.compress(bytes(1000))), 1000) == bytes(1000)
