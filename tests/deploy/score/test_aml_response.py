"""Requests and answers that a script makes of its own."""

import pytest
from tests.support.score_app import RAW, RESPONSE, Start, ask


def test_rawhttp_gets_the_request_and_answers_as_it_likes(start: Start) -> None:
    app = start(
        RAW + RESPONSE + "def init(): pass\n@rawhttp\n"
        "async def run(request):\n"
        "    data = await request.get_data()\n"
        "    return AMLResponse(data[::-1], 201, {'Content-Type': 'image/jpeg', 'X-List': 'a, b'})\n"
    )
    answer = ask(app, "OPTIONS", "/score", b"\x01\x02")
    assert (answer.status, answer.body) == (201, b"\x02\x01")
    assert answer.header("content-type") == "image/jpeg"
    assert [value for name, value in answer.headers if name == "X-List"] == ["a", "b"]
    assert answer.header("Content-Length") == "2"


@pytest.mark.parametrize(("status", "failed"), [(499, "False"), (500, "True"), (503, "True"), (599, "True")])
def test_answer_of_the_script_with_an_error_status_counts_as_failed(start: Start, status: int, failed: str) -> None:
    run = f"def run(data):\n    time.sleep(0.02)\n    return AMLResponse('down', {status})\n"
    answer = ask(start(RESPONSE + "import time\ndef init(): pass\n" + run))
    assert (answer.status, answer.body) == (status, b"down")
    assert answer.header("x-ms-run-function-failed") == failed
    assert float(answer.header("x-ms-run-fn-exec-ms") or "") >= 20


@pytest.mark.parametrize(
    ("message", "body", "kind"),
    [("None", b"{}", "application/json"), ("bytearray(b'x')", b"x", "text/html; charset=utf-8")],
)
def test_a_message_may_be_of_many_types(start: Start, message: str, body: bytes, kind: str) -> None:
    answer = ask(start(RESPONSE + f"def init(): pass\ndef run(data): return AMLResponse({message}, 200)\n"))
    assert (answer.body, answer.header("Content-Type")) == (body, kind)
    assert answer.header("Content-Length") == str(len(body))


def test_an_answer_that_was_looked_at_is_sent_all_the_same(start: Start) -> None:
    app = start(
        RESPONSE + "def init(): pass\ndef run(data):\n"
        "    answer = AMLResponse((c for c in 'abc'), 200)\n    answer.get_data()\n    return answer\n"
    )
    assert ask(app).body == b"abc"


def test_a_header_is_replaced_however_it_is_spelled(start: Start) -> None:
    app = start(
        RESPONSE + "def init(): pass\ndef run(data):\n"
        "    return AMLResponse('x', 200, {'X-MS-Run-Function-Failed': 'maybe', 'content-length': '7'})\n"
    )
    names = [name.lower() for name, _ in ask(app).headers]
    assert names.count("x-ms-run-function-failed") == names.count("content-length") == 1


def test_what_another_library_says_of_a_failure_stays(start: Start) -> None:
    app = start(
        "class Made:\n    def get_wsgi_response(self, environ):\n"
        "        return [b'x'], '200 OK', [('X-Ms-Run-Function-Failed', 'True')]\n"
        "def init(): pass\ndef run(data): return Made()\n"
    )
    assert ask(app).header("x-ms-run-function-failed") == "True"


@pytest.mark.parametrize(
    "arguments",
    ["99", "100", "1000", "200, {'X-A': 'b\\r\\nSet-Cookie: c'}", "200, {'X-A': '\\u20ac'}", "200, {'X A': 'b'}"],
)
def test_an_answer_that_http_cannot_carry_is_an_error_like_others(start: Start, arguments: str) -> None:
    app = start(RESPONSE + f"def init(): pass\ndef run(data): return AMLResponse('x', {arguments})\n")
    answer = ask(app)
    assert answer.status == 500
    assert answer.message == "An unexpected internal error occurred. Check the logs for more info."
    assert answer.header("X-A") is None
