"""A connection, frame by frame: what clients may do, and what ends a stream or the connection."""

import asyncio
from collections.abc import Callable

import pytest
from tests.support.http2 import Client, Frame

from despina.grpc.http2 import leave
from despina.grpc.http2.connection import (
    CONNECTION_WINDOW,
    MANY_FRAMES,
    MAX_STREAMS,
    STREAM_WINDOW,
    Connection,
)
from despina.grpc.http2.frame_reader import MAX_BLOCK, MAX_FRAME
from despina.grpc.http2.frames import (
    DEFAULT_WINDOW,
    HEAD,
    MAX_WINDOW,
    PREFACE,
    SETTING,
    STREAM_IDS,
    ErrorCode,
    Flag,
    Kind,
    Setting,
    frame,
    goaway,
    rst_stream,
    settings,
    window_update,
)
from despina.grpc.http2.header_blocks import Headers, literal
from despina.grpc.http2.stream import Stream

OK = b"\x88"
TRAILERS = literal(b"grpc-status", b"0")
REQUEST = {":path": "/a"}


class Call:
    """Takes down what comes of a request."""

    def __init__(self, stream: Stream, headers: Headers) -> None:
        self.stream = stream
        self.headers = headers
        self.data = b""
        self.ended = False
        self.lost = False
        self.sent_all = 0

    def data_received(self, data: bytes, begin: int, end: int, ended: bool) -> None:
        assert not self.ended
        self.data += data[begin:end]
        self.ended = ended

    def sent(self) -> None:
        self.sent_all += 1

    def gone(self) -> None:
        self.lost = True


class Service:
    """Takes every request, and answers none by itself."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.closed_ones = 0

    def opened(self, connection: Connection[Headers]) -> None:
        """Nobody counts them."""

    def read_headers(self, headers: Headers) -> Headers:
        return headers

    def open(self, connection: Connection[Headers], stream: Stream, headers: Headers) -> Call:
        self.calls[stream.id] = Call(stream, headers)
        return self.calls[stream.id]

    def write(self, connection: Connection[Headers], data: bytes) -> None:
        connection.transport.write(data)

    def closed(self, connection: Connection[Headers]) -> None:
        self.closed_ones += 1


def connected() -> tuple[Client, Service]:
    service = Service()
    return Client(service), service


def why_closed(client: Client) -> int:
    """The code of the GOAWAY that ended a connection."""
    client.read()
    assert client.transport.closed
    assert client.control[-1].kind == Kind.GOAWAY
    return int.from_bytes(client.control[-1].payload[4:8])


async def test_a_request_and_its_answer() -> None:
    client, service = connected()
    client.send(client.request(1, REQUEST, b"hello"))
    call = service.calls[1]
    assert (dict(call.headers), call.data, call.ended) == ({b":path": b"/a"}, b"hello", True)
    call.stream.answer(OK, (b"wor", b"ld"), 5, TRAILERS)
    answer = client.answer(1)
    assert (answer.headers, answer.data, answer.trailers) == ({":status": "200"}, b"world", {"grpc-status": "0"})
    assert answer.ended
    assert answer.reset is None


@pytest.mark.parametrize("step", [1, 2, 7, 9, 10, 23])
async def test_bytes_may_come_in_any_pieces(step: int) -> None:
    service = Service()
    client = Client(service, greeted=False)
    data = (
        PREFACE + frame(Kind.SETTINGS, 0, 0) + client.request(1, REQUEST, b"x" * 50) + client.request(3, REQUEST, b"")
    )
    client.send(*(data[at : at + step] for at in range(0, len(data), step)))
    assert [(call.data, call.ended) for call in service.calls.values()] == [(b"x" * 50, True), (b"", True)]


async def test_the_preface_has_settings_and_is_answered_with_theirs() -> None:
    client, _ = connected()
    ours, grown, acknowledged = client.read()
    assert ours.kind == Kind.SETTINGS
    told = dict(SETTING.iter_unpack(ours.payload))
    assert told[Setting.INITIAL_WINDOW_SIZE] == STREAM_WINDOW
    assert told[Setting.MAX_CONCURRENT_STREAMS] == MAX_STREAMS
    assert (grown.kind, grown.stream) == (Kind.WINDOW_UPDATE, 0)
    assert acknowledged == Frame(Kind.SETTINGS, Flag.ACK, 0, b"")


async def test_somebody_who_speaks_http_1_is_told_what_was_expected() -> None:
    client = Client(Service(), greeted=False)
    client.send(b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert why_closed(client) == ErrorCode.PROTOCOL_ERROR
    assert b"HTTP/2" in client.control[-1].payload


async def test_padding_and_priorities_are_nothing_to_us() -> None:
    client, service = connected()
    block = client.encoder.encode(list(REQUEST.items()))
    flags = Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY
    client.send(
        frame(Kind.HEADERS, flags, 1, b"\x03" + bytes(5) + block + b"pad"),
        frame(Kind.PRIORITY, 0, 1, bytes(5)),
        frame(Kind.DATA, Flag.PADDED, 1, b"\x02hello--"),
        frame(Kind.DATA, Flag.PADDED | Flag.END_STREAM, 1, b"\x00!"),
    )
    assert (service.calls[1].data, service.calls[1].ended) == (b"hello!", True)


async def test_headers_may_continue_in_further_frames() -> None:
    client, service = connected()
    block = client.encoder.encode([(":path", "/a"), ("x", "1" * 100)])
    client.send(
        frame(Kind.HEADERS, Flag.END_STREAM, 1, block[:10]),
        frame(Kind.CONTINUATION, 0, 1, block[10:50]),
        frame(Kind.CONTINUATION, Flag.END_HEADERS, 1, block[50:]),
    )
    assert dict(service.calls[1].headers)[b"x"] == b"1" * 100
    assert service.calls[1].ended


async def test_trailers_of_a_request_end_it() -> None:
    client, service = connected()
    client.send(
        client.headers(1, REQUEST), frame(Kind.DATA, 0, 1, b"a"), client.headers(1, {"x": "1"}, Flag.END_STREAM)
    )
    assert service.calls[1].ended


async def test_pings_are_answered_and_answers_to_pings_are_not() -> None:
    client, _ = connected()
    client.read()
    client.send(frame(Kind.PING, 0, 0, b"12345678"), frame(Kind.PING, Flag.ACK, 0, b"87654321"))
    assert client.read() == [Frame(Kind.PING, Flag.ACK, 0, b"12345678")]


async def test_frames_of_unknown_types_are_ignored() -> None:
    client, service = connected()
    client.send(frame(99, 0xFF, 7, b"whatever"), client.request(1, REQUEST, b""), goaway(0, 0))
    assert service.calls[1].ended
    assert not client.transport.closed


# ----------------------------------------------------------------------------------------------------------- the end


async def test_a_call_that_is_reset_is_gone_and_answers_nothing() -> None:
    client, service = connected()
    client.send(client.request(1, REQUEST, b""), rst_stream(1, ErrorCode.CANCEL))
    call = service.calls[1]
    assert call.lost
    client.read()
    call.stream.answer(OK, (b"late",), 4, TRAILERS)
    call.stream.end(TRAILERS)
    call.stream.grant(100)
    assert client.read() == []


async def test_all_calls_are_gone_with_their_connection() -> None:
    client, service = connected()
    client.send(client.request(1, REQUEST, b""), client.headers(3, REQUEST))
    client.connection.connection_lost(None)
    assert [call.lost for call in service.calls.values()] == [True, True]
    assert service.closed_ones == 1


async def test_a_request_that_is_answered_early_is_not_read_on() -> None:
    client, service = connected()
    client.send(client.headers(1, REQUEST))
    service.calls[1].stream.end(OK + TRAILERS)
    answer = client.answer(1)
    assert (answer.ended, answer.reset) == (True, ErrorCode.NO_ERROR)
    client.send(frame(Kind.DATA, Flag.END_STREAM, 1, b"what was under way"), client.request(3, REQUEST, b"next"))
    assert service.calls[1].data == b""
    assert service.calls[3].data == b"next"


async def test_a_connection_takes_leave_when_its_calls_are_answered() -> None:
    client, service = connected()
    client.send(client.request(5, REQUEST, b""))
    client.connection.take_leave()
    client.send(client.request(7, REQUEST, b"in time"))
    client.read()
    asked, ping, told = client.control
    assert asked == Frame(Kind.GOAWAY, 0, 0, STREAM_IDS.to_bytes(4) + (0).to_bytes(4))
    assert ping.kind == Kind.PING
    assert told == Frame(Kind.GOAWAY, 0, 0, (7).to_bytes(4) + (0).to_bytes(4))
    assert not client.transport.closed
    client.send(client.request(9, REQUEST, b"too late"))
    assert 9 not in service.calls
    service.calls[7].stream.answer(OK, (b"1",), 1, TRAILERS)
    await asyncio.sleep(0)
    assert not client.transport.closed
    service.calls[5].stream.answer(OK, (b"1",), 1, TRAILERS)
    assert client.answer(5).ended
    await asyncio.sleep(0)
    assert client.transport.closed


async def test_an_idle_connection_takes_leave_at_once() -> None:
    client, _ = connected()
    client.connection.take_leave()
    client.read()
    assert client.transport.closed


async def test_a_client_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave, "PATIENCE_S", 0)
    client, _ = connected()
    client.connection.take_leave()
    client.send(frame(Kind.PING, Flag.ACK, 0, b"other on"))
    assert not client.transport.closed
    async with asyncio.timeout(10):
        while not client.transport.closed:
            await asyncio.sleep(0)


async def test_an_answer_to_a_ping_that_nobody_sent_is_nothing() -> None:
    client, service = connected()
    client.send(frame(Kind.PING, Flag.ACK, 0, leave.QUESTION), client.request(1, REQUEST, b""))
    assert 1 in service.calls


async def test_a_reset_is_an_end_that_leave_is_taken_after() -> None:
    client, _ = connected()
    client.send(client.request(1, REQUEST, b""))
    client.connection.take_leave()
    client.read()
    client.send(rst_stream(1, ErrorCode.CANCEL))
    assert client.transport.closed


async def test_what_comes_behind_the_end_is_not_answered() -> None:
    client, _ = connected()
    client.send(client.request(1, REQUEST, b""))
    client.connection.take_leave()
    client.read()
    client.send(rst_stream(1, ErrorCode.CANCEL) + frame(Kind.PING, 0, 0, bytes(8)))
    client.read()
    assert [one.kind for one in client.control] == [Kind.GOAWAY, Kind.PING, Kind.GOAWAY]


async def test_a_mistake_loses_the_calls_under_way() -> None:
    client, service = connected()
    client.send(client.request(1, REQUEST, b""), frame(Kind.PING, 0, 0, b"short"))
    assert service.calls[1].lost
    service.calls[1].stream.answer(OK, (b"late",), 4, TRAILERS)
    assert not client.answer(1).ended


# ----------------------------------------------------------------------------------------------------------- windows


async def test_an_answer_waits_for_the_windows() -> None:
    client, service = connected()
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 10}), client.request(1, REQUEST, b""))
    service.calls[1].stream.answer(OK, (b"0123456789", b"abcdefghij"), 20, TRAILERS)
    assert client.answer(1).data == b"0123456789"
    client.send(window_update(1, 4))
    assert client.answer(1).data == b"0123456789abcd"
    assert not client.answer(1).ended
    client.send(window_update(1, 100))
    assert client.answer(1).data == b"0123456789abcdefghij"
    assert client.answer(1).trailers == {"grpc-status": "0"}


async def test_a_call_hears_when_what_waited_is_sent() -> None:
    client, service = connected()
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 10}), client.request(1, REQUEST, b""))
    call = service.calls[1]
    call.stream.send_headers(OK)
    call.stream.send((b"0123456789",))
    call.stream.send((b"0123456789", b"abc"))
    assert (call.stream.unsent, call.sent_all) == (13, 0)
    client.send(window_update(1, 5))
    assert (call.stream.unsent, call.sent_all) == (8, 0)
    client.send(window_update(1, 8))
    assert (call.stream.unsent, call.sent_all) == (0, 1)


async def test_nothing_follows_an_end_that_waits() -> None:
    client, service = connected()
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 10}), client.request(1, REQUEST, b""))
    stream = service.calls[1].stream
    stream.send_headers(OK)
    stream.send((b"0123456789ab",))
    stream.end(literal(b"grpc-status", b"5"))
    stream.send((b"more",))
    stream.end(TRAILERS)
    client.send(window_update(1, 100))
    assert client.answer(1).data == b"0123456789ab"
    assert client.answer(1).trailers == {"grpc-status": "5"}


async def test_a_window_that_shrinks_below_nothing_has_to_grow_first() -> None:
    client, service = connected()
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 10}), client.request(1, REQUEST, b""))
    service.calls[1].stream.answer(OK, (b"x" * 30,), 30, TRAILERS)
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 0}), window_update(1, 10))
    assert len(client.answer(1).data) == 10
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 20}))
    assert client.answer(1).ended


async def test_of_a_setting_that_comes_twice_the_last_counts() -> None:
    client, service = connected()
    client.send(client.request(1, REQUEST, b""))
    stream, grown = service.calls[1].stream, []
    stream.sending.stream_grows = lambda stream, growth: grown.append(growth)  # type: ignore[method-assign]
    setting = Setting.INITIAL_WINDOW_SIZE
    client.send(frame(Kind.SETTINGS, 0, 0, SETTING.pack(setting, 5) + SETTING.pack(setting, DEFAULT_WINDOW + 7)))
    assert grown == [7]


async def test_answers_share_the_window_of_the_connection() -> None:
    client, service = connected()
    for number in (1, 3, 5):
        client.send(client.request(number, REQUEST, b""), window_update(number, 100_000))
        service.calls[number].stream.answer(OK, (bytes([number]) * 40_000,), 40_000, TRAILERS)
    assert [len(client.answer(number).data) for number in (1, 3, 5)] == [40_000, 25_535, 0]
    client.send(window_update(0, 20_000))
    assert [len(client.answer(number).data) for number in (1, 3, 5)] == [40_000, 40_000, 5_535]
    client.send(rst_stream(5, ErrorCode.CANCEL), window_update(0, 1_000_000))
    assert not client.answer(5).ended


async def test_small_answers_share_the_window_of_the_connection_too() -> None:
    client, service = connected()
    numbers = range(1, 17, 2)
    for number in numbers:
        client.send(client.request(number, REQUEST, b""))
        service.calls[number].stream.answer(OK, (bytes(10_000),), 10_000, TRAILERS)
    assert [len(client.answer(number).data) for number in numbers] == [*6 * [10_000], 5_535, 0]
    client.send(window_update(0, 14_465))
    assert [len(client.answer(number).data) for number in numbers] == 8 * [10_000]
    assert all(client.answer(number).ended for number in numbers)


async def test_more_data_than_the_window_of_the_connection_ends_it() -> None:
    client, _ = connected()
    client.send(client.request(1, REQUEST, b""), rst_stream(1, ErrorCode.CANCEL))
    client.send((CONNECTION_WINDOW // MAX_FRAME + 1) * frame(Kind.DATA, 0, 1, bytes(MAX_FRAME)))
    assert why_closed(client) == ErrorCode.FLOW_CONTROL_ERROR


async def test_what_follows_the_end_of_a_request_is_ignored() -> None:
    client, service = connected()
    client.send(client.request(1, REQUEST, b"a"), frame(Kind.DATA, Flag.END_STREAM, 1, b"b"))
    assert service.calls[1].data == b"a"
    first = service.calls[1]
    first.stream.answer(OK, (), 0, TRAILERS)
    client.send(client.headers(1, REQUEST, Flag.END_STREAM), client.request(5, REQUEST, b"c"))
    client.send(client.headers(3, REQUEST, Flag.END_STREAM))
    assert service.calls.keys() == {1, 5}
    assert service.calls[1] is first
    assert not client.transport.closed


async def test_windows_may_be_as_large_as_a_number_can_hold() -> None:
    client, service = connected()
    client.send(
        settings({Setting.INITIAL_WINDOW_SIZE: MAX_WINDOW - 1}),
        client.request(1, REQUEST, b""),
        window_update(0, MAX_WINDOW - DEFAULT_WINDOW),
        window_update(1, 1),
    )
    service.calls[1].stream.answer(OK, (b"x" * 100_000,), 100_000, TRAILERS)
    assert len(client.answer(1).data) == 100_000
    assert not client.transport.closed


async def test_an_answer_that_fills_the_window_ends_though_nothing_follows_in_it() -> None:
    client, service = connected()
    client.send(settings({Setting.INITIAL_WINDOW_SIZE: 10}), client.request(1, REQUEST, b""))
    service.calls[1].stream.send_headers(OK)
    service.calls[1].stream.send((b"0123456789", b""))
    service.calls[1].stream.end(TRAILERS)
    assert client.answer(1).ended


async def test_frames_are_no_larger_than_the_client_takes() -> None:
    client, service = connected()
    client.send(
        settings({Setting.INITIAL_WINDOW_SIZE: 1 << 20}), window_update(0, 1 << 20), client.request(1, REQUEST, b"")
    )
    service.calls[1].stream.answer(OK, (b"a" * 20_000, b"b" * 20_000), 40_000, TRAILERS)
    sizes = [len(one.payload) for one in client.read() if one.kind == Kind.DATA]
    assert sizes == [16_384, 16_384, 7_232]
    client.send(settings({Setting.MAX_FRAME_SIZE: 1 << 20}), client.request(3, REQUEST, b""))
    service.calls[3].stream.answer(OK, (b"a" * 20_000, b"b" * 20_000), 40_000, TRAILERS)
    assert [len(one.payload) for one in client.read() if one.kind == Kind.DATA] == [40_000]


async def test_a_client_may_send_on_while_what_it_sent_is_taken() -> None:
    client, service = connected()
    client.send(client.headers(1, REQUEST))
    sent = 0
    while sent < 2 * CONNECTION_WINDOW:
        service.calls[1].stream.grant(STREAM_WINDOW)
        client.send(frame(Kind.DATA, 0, 1, bytes(STREAM_WINDOW)))
        sent += STREAM_WINDOW
    grown = sum(
        int.from_bytes(one.payload) for one in client.read() if one.kind == Kind.WINDOW_UPDATE and not one.stream
    )
    assert grown > CONNECTION_WINDOW
    assert len(service.calls[1].data) == sent


async def test_data_of_calls_that_are_over_counts_for_the_connection() -> None:
    client, _ = connected()
    client.send(client.request(1, REQUEST, b""), rst_stream(1, ErrorCode.CANCEL))
    client.read()
    client.send(*(frame(Kind.DATA, 0, 1, bytes(MAX_FRAME)) for _ in range(9)))
    assert any(one.kind == Kind.WINDOW_UPDATE and not one.stream for one in client.read())


# ----------------------------------------------------------------------------------------------- what is not allowed


def _open(client: Client) -> None:
    client.send(client.headers(1, REQUEST))


MISTAKES: dict[str, tuple[Callable[[Client], bytes], int]] = {
    "a frame that is too large": (lambda _: HEAD.pack(0x20, 0, Kind.DATA, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
    "data on no stream": (lambda _: frame(Kind.DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on a stream that has not begun": (lambda _: frame(Kind.DATA, 0, 9, b"x"), ErrorCode.PROTOCOL_ERROR),
    "a window of one that has not": (lambda _: window_update(9, 1), ErrorCode.PROTOCOL_ERROR),
    "an end of one that has not": (lambda _: rst_stream(9, 0), ErrorCode.PROTOCOL_ERROR),
    "more data than the window": (
        lambda _: frame(Kind.DATA, 0, 1, bytes(STREAM_WINDOW + 1)),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "a stream of the server": (lambda client: client.request(2, REQUEST, b""), ErrorCode.PROTOCOL_ERROR),
    "headers in the middle": (lambda client: client.headers(1, REQUEST), ErrorCode.PROTOCOL_ERROR),
    "padding that is not there": (lambda _: frame(Kind.DATA, Flag.PADDED, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
    "padding without its length": (lambda _: frame(Kind.DATA, Flag.PADDED, 1), ErrorCode.PROTOCOL_ERROR),
    "a priority that is not there": (
        lambda _: frame(Kind.HEADERS, Flag.END_HEADERS | Flag.PRIORITY, 3, b"abc"),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "headers that are none": (
        lambda _: frame(Kind.HEADERS, Flag.END_HEADERS, 3, b"\xff\xff"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "something between headers": (
        lambda _: frame(Kind.HEADERS, 0, 3, b"") + frame(Kind.PING, 0, 0, bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "data between headers": (
        lambda _: frame(Kind.HEADERS, 0, 3, b"") + HEAD.pack(0, 100, Kind.DATA, 0, 1) + b"x",
        ErrorCode.PROTOCOL_ERROR,
    ),
    "headers that go on where none began": (lambda _: frame(Kind.CONTINUATION, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "headers that go on with nothing": (
        lambda _: frame(Kind.HEADERS, 0, 3, b"") + frame(Kind.CONTINUATION, 0, 3, b""),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "headers that go on for another stream": (
        lambda _: frame(Kind.HEADERS, 0, 3, b"") + frame(Kind.CONTINUATION, Flag.END_HEADERS, 5, b"\x88"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "settings that acknowledge and say something": (
        lambda _: frame(Kind.SETTINGS, Flag.ACK, 0, bytes(6)),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "headers without an end": (
        lambda _: frame(Kind.HEADERS, 0, 3, b"") + 5 * frame(Kind.CONTINUATION, 0, 3, bytes(MAX_BLOCK // 4)),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "headers that are too large for one frame": (
        lambda _: HEAD.pack(MAX_BLOCK >> 16, 1, Kind.HEADERS, Flag.END_HEADERS, 3),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "settings on a stream": (lambda _: frame(Kind.SETTINGS, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
    "half a setting": (lambda _: frame(Kind.SETTINGS, 0, 0, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "a window no number can hold": (
        lambda _: settings({Setting.INITIAL_WINDOW_SIZE: 1 << 31}),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "frames that are too small": (lambda _: settings({Setting.MAX_FRAME_SIZE: 100}), ErrorCode.PROTOCOL_ERROR),
    "a growth that is no number": (
        lambda _: frame(Kind.WINDOW_UPDATE, 0, 1, bytes(4) + b"\1"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "a window that grows by nothing": (lambda _: window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    "a window of a stream that is too large": (lambda _: window_update(1, 0x7FFFFFFF), ErrorCode.FLOW_CONTROL_ERROR),
    "a window that is too large": (lambda _: window_update(0, 0x7FFFFFFF), ErrorCode.FLOW_CONTROL_ERROR),
    "a short ping": (lambda _: frame(Kind.PING, 0, 0, b"1"), ErrorCode.FRAME_SIZE_ERROR),
    "a promise": (lambda _: frame(Kind.PUSH_PROMISE, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
async def test_a_mistake_ends_the_connection(mistake: tuple[Callable[[Client], bytes], int]) -> None:
    make, code = mistake
    client, _ = connected()
    _open(client)
    client.send(make(client))
    assert why_closed(client) == code


async def test_streams_beyond_those_allowed_are_refused_and_nothing_else() -> None:
    client, service = connected()
    for number in range(1, 2 * MAX_STREAMS + 3, 2):
        client.send(client.request(number, REQUEST, b""))
    assert client.answer(2 * MAX_STREAMS + 1).reset == ErrorCode.REFUSED_STREAM
    assert len(service.calls) == MAX_STREAMS
    service.calls[1].stream.end(OK + TRAILERS)
    client.send(client.request(2 * MAX_STREAMS + 3, REQUEST, b""))
    assert len(service.calls) == MAX_STREAMS + 1


async def test_nothing_is_read_while_the_client_does_not_read() -> None:
    client, _ = connected()
    client.connection.pause_writing()
    assert client.transport.paused
    client.connection.resume_writing()
    assert not client.transport.paused


async def test_others_have_their_turn_behind_many_frames() -> None:
    client, _ = connected()
    client.send(frame(Kind.PING, 0, 0, bytes(8)) * MANY_FRAMES)
    assert not client.transport.paused
    client.send(frame(Kind.PING, 0, 0, bytes(8)) * (MANY_FRAMES + 1))
    assert client.transport.paused
    await asyncio.sleep(0)
    assert not client.transport.paused


async def test_a_turn_of_its_own_is_none_while_the_client_does_not_read() -> None:
    client, _ = connected()
    client.send(frame(Kind.PING, 0, 0, bytes(8)) * (MANY_FRAMES + 1))
    client.connection.pause_writing()
    await asyncio.sleep(0)
    assert client.transport.paused
    client.connection.resume_writing()
    assert not client.transport.paused
