"""Trailers, and how much of a message they hold."""

from urllib.parse import unquote

import pytest
from hpack import Decoder

from despina.grpc.answers import (
    GZIP_HEADERS,
    HEADERS,
    MAX_MESSAGE,
    OK_TRAILERS,
    UNSUPPORTED_MEDIA_TYPE,
    _trailers,
    refusal,
    trailers,
)


def told(message: str) -> str:
    """What a client finds in the trailers; they must be small enough for it."""
    block = trailers(3, message)
    assert len(block) < 8192
    headers = {str(name): str(value) for name, value in Decoder().decode(block)}
    return unquote(headers.get("grpc-message", ""), errors="strict")


@pytest.mark.parametrize("message", ["", "plain", "50 % of \u00e9\u4e16\U0001f600", "x" * MAX_MESSAGE, "\n\t"])
def test_a_message_is_told_as_it_is(message: str) -> None:
    assert told(message) == message


@pytest.mark.parametrize("character", ["x", "\u00e9", "\u4e16", "\U0001f600", "%", "\n"])
@pytest.mark.parametrize("before", range(4))
def test_of_a_long_message_the_beginning_is_told(character: str, before: int) -> None:
    message = "-" * before + character * 100_000
    assert message.startswith(told(message))
    assert len(told(message)) >= 500


def test_long_messages_are_not_kept() -> None:
    _trailers.cache_clear()
    assert trailers(5, "a" * 1_000_000) == trailers(5, "a" * 2_000_000)
    assert _trailers.cache_info().currsize == 1


def read(block: bytes) -> dict[bytes, bytes]:
    return dict(Decoder().decode(block, raw=True))


def test_headers_are_those_of_grpc() -> None:
    plain = {b":status": b"200", b"content-type": b"application/grpc"}
    assert read(HEADERS) == plain
    assert read(GZIP_HEADERS) == {**plain, b"grpc-encoding": b"gzip"}
    assert read(OK_TRAILERS) == {b"grpc-status": b"0"}
    assert read(UNSUPPORTED_MEDIA_TYPE) == {b":status": b"415"}
    assert read(refusal(5, "no")) == {**plain, b"grpc-status": b"5", b"grpc-message": b"no"}


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ("plain ~!\"'", b"plain ~!\"'"),
        ("100%", b"100%25"),
        ("a\nb\x7f", b"a%0Ab%7F"),
        ("\u00e9", b"%C3%A9"),
        ("\udcff", b"%FF"),
    ],
)
def test_what_is_not_plain_is_quoted(message: str, sent: bytes) -> None:
    assert read(trailers(13, message)) == {b"grpc-status": b"13", b"grpc-message": sent}
