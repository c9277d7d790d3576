import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.score.awaitable import AwaitableBytes
from despina.deploy.score.request import AMLRequest


def request(body: bytes = b"", content_type: str = "", query: str = "", **environ: Any) -> AMLRequest:
    return AMLRequest(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/score",
            "QUERY_STRING": query,
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            **environ,
        }
    )


def test_body_is_there_plain_awaited_and_repeatedly() -> None:
    one = request(b"\xff\x00image", "application/x-www-form-urlencoded")

    async def awaited() -> bytes:
        data = await one.get_data()
        assert isinstance(data, AwaitableBytes)
        return data

    assert one.get_data(False) == b"\xff\x00image"
    assert asyncio.run(awaited()) == b"\xff\x00image"
    assert one.data == b"\xff\x00image"


def test_text_and_json_can_be_awaited_too() -> None:
    async def awaited(one: AMLRequest) -> tuple[str, dict[str, Any]]:
        return await one.get_data(as_text=True), await one.get_json()

    text, parsed = asyncio.run(awaited(request(b'{"data": [1]}', "application/json; charset=utf-8")))
    assert text == '{"data": [1]}'
    assert parsed == {"data": [1]}
    assert json.dumps(parsed) == '{"data": [1]}'


@pytest.mark.parametrize(
    ("content_type", "force", "expected"),
    [
        ("application/json", False, {"a": 1}),
        ("application/vnd.api+json", False, {"a": 1}),
        ("text/plain", False, None),
        ("text/json", False, None),
        ("text/plain", True, {"a": 1}),
    ],
)
def test_json_needs_its_content_type_or_force(content_type: str, force: bool, expected: object) -> None:
    assert request(b'{"a": 1}', content_type).get_json(force=force) == expected


def test_json_that_is_none_raises_unless_silent() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        request(b"x", "application/json").get_json()
    assert request(b"x", "application/json").get_json(silent=True) is None


def test_headers_are_found_in_any_case_and_listed_in_title_case() -> None:
    headers = request(b"1", "text/plain", HTTP_X_MS_CLIENT_REQUEST_ID="7").headers
    assert headers["x-ms-client-request-id"] == "7"
    assert dict(headers) == {"Content-Type": "text/plain", "Content-Length": "1", "X-Ms-Client-Request-Id": "7"}
    assert "X-Nothing" not in headers
    assert "Content-Type" not in request(b"1").headers


def test_path_is_text_in_utf_8() -> None:
    assert request(PATH_INFO="/pi\xc3\xb9/\xff").path == "/pi\u00f9/\ufffd"


def test_query_keeps_repeats() -> None:
    one = request(query="a=1&a=2&b=&c=%C3%A8")
    assert one.args["a"] == "1"
    assert one.args.getlist("a") == ["1", "2"]
    assert dict(one.args) == {"a": "1", "b": "", "c": "è"}
    assert one.full_path == "/score?a=1&a=2&b=&c=%C3%A8"


def test_multipart_gives_fields_and_files(tmp_path: Path) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\npeacock\r\n'
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\r\n\n\x00\r\n"
        b"--b\r\nContent-Disposition: form-data\r\n\r\nof nobody\r\n--b--\r\n"
    )
    one = request(body, "multipart/form-data; boundary=b")
    assert dict(one.form) == {"note": "peacock"}
    image = one.files["image"]
    assert (image.filename, image.content_type) == ("p.jpg", "image/jpeg")
    assert image.stream.read() == b"\xff\xd8\r\n\n\x00"
    image.save(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"\xff\xd8\r\n\n\x00"


def test_urlencoded_form() -> None:
    one = request(b"a=1&b=x+y&c=", "application/x-www-form-urlencoded")
    assert dict(one.form) == {"a": "1", "b": "x y", "c": ""}
