import pytest

from despina import errors
from despina.errors import DespinaError, InvalidArgument, NotFound, RequestTimeout, Unavailable, Unsupported
from despina.http.infer_exchange import InferReply, error_reply
from despina.http.reply_head import reply_head


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidArgument(""), b"400 Bad Request"),
        (NotFound(""), b"404 Not Found"),
        (RequestTimeout(""), b"408 Request Timeout"),
        (ValueError(""), b"500 Internal Server Error"),
        (Unsupported(""), b"501 Not Implemented"),
        (Unavailable(""), b"503 Service Unavailable"),
    ],
)
def test_every_status_has_its_reason(error: Exception, line: bytes) -> None:
    head = reply_head(error_reply(error))
    assert head.startswith(b"HTTP/1.1 " + line + b"\r\ncontent-type: application/json\r\n")


def test_there_is_a_reason_for_every_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DespinaError)]
    for kind in kinds:
        assert b" \r\n" not in reply_head(error_reply(kind("")))


@pytest.mark.parametrize(("seconds", "header"), [(0.0, b"1"), (0.3, b"1"), (1.4, b"1"), (1.6, b"2"), (60.0, b"60")])
def test_a_retry_is_never_asked_for_at_once(seconds: float, header: bytes) -> None:
    lines = reply_head(error_reply(Unavailable("", retry_after=seconds))).split(b"\r\n")
    assert b"retry-after: " + header in lines


@pytest.mark.parametrize("connection", ["", "close", "keep-alive"])
@pytest.mark.parametrize(
    ("reply", "lines"),
    [
        (InferReply(200, [], 7), [b"content-type: application/json"]),
        (
            InferReply(200, [], 7, header_length=5),
            [b"content-type: application/octet-stream", b"inference-header-content-length: 5"],
        ),
    ],
)
def test_an_answer_says_what_it_is_and_whether_it_is_the_last(
    reply: InferReply, lines: list[bytes], connection: str
) -> None:
    last = [b"connection: " + connection.encode()] if connection else []
    wanted = [b"HTTP/1.1 200 OK", *lines, *last, b"content-length: 7", b"", b""]
    assert reply_head(reply, connection).split(b"\r\n") == wanted
