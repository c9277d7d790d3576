"""What goes back: `AMLResponse` as entry scripts make it, and the answers of the worker itself."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

FAILED = "x-ms-run-function-failed"

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class AMLResponse:
    """Body, status and headers of one answer.

    `message` is text, bytes or an iterable of bytes; with `json_str` anything that JSON can carry; None is `{}`.
    A value of `response_headers` with commas becomes a repeated header.
    """

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        as_json = json_str or message is None
        self.status_code = status_code
        self.body: Iterable[bytes] = _body(dump_json({} if message is None else message) if as_json else message)
        given = response_headers or {}
        self.headers: list[tuple[str, str]] = []
        if not any(name.lower() == "content-type" for name in given):
            self.headers.append(("Content-Type", "application/json" if as_json else "text/html; charset=utf-8"))
        self.headers += [(name, one.strip()) for name, value in given.items() for one in str(value).split(",")]
        self.set_header(FAILED, str(bool(run_function_failed)))

    @classmethod
    def of_parts(cls, status: int, headers: list[tuple[str, str]], body: Iterable[bytes]) -> "AMLResponse":
        """An answer that another library made."""
        response = cls("", status)
        response.body = body
        response.headers = headers
        if not any(name.lower() == FAILED for name, _ in headers):
            response.set_header(FAILED, "False")
        return response

    def set_header(self, name: str, value: str) -> None:
        """Replaces every header of that name."""
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]
        self.headers.append((name, value))

    def check(self) -> None:
        """Raises ValueError: HTTP cannot carry its status or a header."""
        if not 200 <= self.status_code <= 999:
            raise ValueError(f"status {self.status_code} does not end an answer: expected 200 to 999")
        for name, value in self.headers:
            if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
                raise ValueError(f"{name!r}: {value!r} is not a header that HTTP can carry")

    def get_data(self, as_text: bool = False) -> bytes | str:
        """The whole body; a streamed one is read to its end."""
        data = b"".join(self.body)
        self.body = [data]
        return data.decode() if as_text else data


def error_response(status: int, message: str, *, failed: bool = False) -> AMLResponse:
    """Every error has one key, `message`."""
    return AMLResponse({"message": message}, status, json_str=True, run_function_failed=failed)


def dump_json(value: Any) -> str:
    """JSON text; NumPy arrays and scalars become lists and numbers. Raises TypeError: something in it that JSON cannot
    carry."""
    return json.dumps(value, default=_to_list)


def _to_list(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def _body(message: Any) -> Iterable[bytes]:
    if isinstance(message, str):
        return [message.encode()]
    if isinstance(message, bytes | bytearray | memoryview):
        return [bytes(message)]
    return (one.encode() if isinstance(one, str) else one for one in message)
