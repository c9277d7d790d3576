"""Header blocks: known ones are not decoded again, and never mean what they no longer do."""

import pytest
from hpack import Decoder, Encoder

from despina.grpc.http2.frames import ErrorCode, ProtocolError
from despina.grpc.http2.header_blocks import MAX_KNOWN, HeaderBlocks, Headers, literal


def blocks() -> tuple[HeaderBlocks[dict[bytes, bytes]], list[Headers]]:
    """And all that were decoded."""
    read: list[Headers] = []

    def take(headers: Headers) -> dict[bytes, bytes]:
        read.append(headers)
        return dict(headers)

    return HeaderBlocks(take), read


def test_a_block_that_comes_again_is_known() -> None:
    known, read = blocks()
    encoder = Encoder()
    headers = [(":path", "/a"), ("x", "1")]
    for _ in range(5):
        assert known.decode(encoder.encode(headers)) == {b":path": b"/a", b"x": b"1"}
    assert len(read) == 2  # with the first one it entered the table, so that the second looks otherwise


def test_a_block_means_something_else_when_the_table_has_changed() -> None:
    known, _ = blocks()
    encoder = Encoder()
    for _ in range(3):
        block = encoder.encode([("x", "1")])
        assert known.decode(block) == {b"x": b"1"}
    assert known.decode(encoder.encode([("y", "2")])) == {b"y": b"2"}
    assert known.decode(block) == {b"y": b"2"}  # the newest entry of the table is another one now


def test_a_block_means_something_else_when_a_new_entry_has_taken_the_place_of_another() -> None:
    known, _ = blocks()
    for name in ("x", "y", "z"):
        known.decode(Encoder().encode([(name, "v" * 4000)], huffman=False))  # the table holds one such entry
        for _ in range(2):
            assert known.decode(b"\xbe") == {name.encode(): b"v" * 4000}


def test_a_block_of_an_entry_that_is_gone_ends_the_connection() -> None:
    known, _ = blocks()
    known.decode(Encoder().encode([("y", "2"), ("x", "1")], huffman=False))
    for _ in range(2):
        assert known.decode(b"\xbf") == {b"y": b"2"}
    assert known.decode(b"\x3f\x09\xbe") == {b"x": b"1"}  # for a table of 40 bytes: one entry
    with pytest.raises(ProtocolError):
        known.decode(b"\xbf")


def test_not_all_blocks_are_known() -> None:
    known, read = blocks()
    for number in range(2 * MAX_KNOWN):
        known.decode(literal(b"x", str(number).encode()))
    assert len(known._known) <= MAX_KNOWN
    assert len(read) == 2 * MAX_KNOWN


@pytest.mark.parametrize("size", [0, 40])
def test_a_table_that_shrinks_forgets(size: int) -> None:
    known, _ = blocks()
    encoder = Encoder()
    headers = [("x", "1"), ("y", "2")]
    for _ in range(3):
        known.decode(encoder.encode(headers))
    encoder.header_table_size = size
    assert known.decode(encoder.encode(headers)) == {b"x": b"1", b"y": b"2"}
    assert known.decode(encoder.encode(headers)) == {b"x": b"1", b"y": b"2"}


def test_values_that_differ_each_time_are_read_each_time() -> None:
    known, _ = blocks()
    encoder = Encoder()
    for number in range(200):
        assert known.decode(encoder.encode([("x", str(number))])) == {b"x": str(number).encode()}


@pytest.mark.parametrize("block", [b"\xff\xff\xff\xff\xff\x0f", b"\xbe", b"\x00\x05ab", b"\x40"])
def test_a_block_that_is_none_ends_the_connection(block: bytes) -> None:
    known, _ = blocks()
    with pytest.raises(ProtocolError) as raised:
        known.decode(block)
    assert raised.value.code == ErrorCode.COMPRESSION_ERROR


def test_more_headers_than_anybody_needs_end_the_connection() -> None:
    known, _ = blocks()
    first = Encoder().encode([("x", "v" * 4000)])
    known.decode(first)
    with pytest.raises(ProtocolError):
        known.decode(b"\xbe" * 100)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 16384, 70_000])
def test_literals_are_read_as_they_were_written(size: int) -> None:
    decoder = Decoder(max_header_list_size=1 << 20)
    value = b"v" * size
    block = literal(b"name", value) + literal(b"n" * (size + 1), b"2")
    assert list(decoder.decode(block, raw=True)) == [(b"name", value), (b"n" * (size + 1), b"2")]
    assert not decoder.header_table.dynamic_entries
