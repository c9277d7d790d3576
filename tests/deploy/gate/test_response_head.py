import pytest

from despina.deploy.gate.request_head import RequestHead
from despina.deploy.gate.response_head import ResponseHead, response_head

Headers = list[tuple[bytes, bytes]]


def answered(status: int, headers: Headers, method: bytes = b"GET") -> ResponseHead:
    sent = [(b"x-request-id", b"mine")]
    request = RequestHead(method, b"/", sent, dict(sent), 0, keep_alive=True, http_10=False)
    return response_head(request, status, headers, keep_alive=True)


def test_fields_about_the_connection_to_the_upstream_are_left_out() -> None:
    headers = [(b"Connection", b"close"), (b"Keep-Alive", b"timeout=5"), (b"Content-Length", b"2"), (b"X-A", b"b")]
    assert answered(200, headers).text == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\nx-request-id: mine\r\n\r\n"
    )


def test_id_of_the_upstream_counts() -> None:
    head = answered(200, [(b"content-length", b"0"), (b"X-Request-Id", b"its own")])
    assert head.text == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nX-Request-Id: its own\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "method", "headers", "chunked", "until_eof"),
    [
        (200, b"GET", [(b"content-length", b"2")], False, False),
        (200, b"GET", [(b"transfer-encoding", b"chunked")], True, False),
        (200, b"GET", [], True, True),
        (200, b"HEAD", [], False, False),
        (204, b"GET", [], False, False),
        (304, b"GET", [], False, False),
    ],
)
def test_end_of_a_body(status: int, method: bytes, headers: Headers, chunked: bool, until_eof: bool) -> None:
    head = answered(status, headers, method)
    assert (head.chunked, head.until_eof) == (chunked, until_eof)
    assert head.text.count(b"transfer-encoding: chunked") == chunked


def test_status_that_nobody_knows_passes() -> None:
    assert answered(599, []).text.startswith(b"HTTP/1.1 599 Unknown\r\n")
