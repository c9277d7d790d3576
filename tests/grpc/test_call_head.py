"""What is read out of the headers of a call."""

import pytest

from despina.grpc.call_head import read_call_head

HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/service/method"),
    (b":authority", b"127.0.0.1"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


def test_headers_of_the_call_and_of_the_client() -> None:
    own = [(b"user-agent", b"me"), (b"mine", b"\xe9"), (b"traceparent", b"00-1"), (b"grpc-timeout", b"10S")]
    head = read_call_head([*HEADERS, *own, (b"grpc-encoding", b"gzip"), (b"mine", b"2")])
    assert (head.method, head.path, head.content_type) == (b"POST", b"/service/method", b"application/grpc")
    assert head.encoding == b"gzip"
    assert head.own_metadata == [("user-agent", "me"), ("mine", "2"), ("traceparent", "00-1")]
    assert head.trace_context == {"traceparent": "00-1"}


def test_headers_that_are_missing() -> None:
    head = read_call_head([])
    assert (head.method, head.path, head.content_type, head.encoding) == (b"", b"", b"", b"identity")
    assert (head.own_metadata, head.trace_context) == ([], {})


@pytest.mark.parametrize(
    ("accepted", "level"), [(b"identity, deflate, gzip", 6), (b"gzip,identity", 6), (b"identity", 0), (b"xgzip", 0)]
)
def test_answers_are_compressed_for_those_who_read_it(accepted: bytes, level: int) -> None:
    assert read_call_head([(b"grpc-accept-encoding", accepted)], 6).gzip_level == level
    assert read_call_head([], 6).gzip_level == 0
    assert read_call_head([(b"grpc-accept-encoding", accepted)]).gzip_level == 0
