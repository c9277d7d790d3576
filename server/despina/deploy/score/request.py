"""The HTTP request as an entry script with `@rawhttp` sees it: the part of Flask's request that such scripts use."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from despina.deploy.score.awaitable import AwaitableBytes, AwaitableText, Values, awaitable_json
from despina.deploy.score.form import UploadedFile, form_parts


class Headers(Mapping[str, str]):
    """Request headers: names are looked up in any case and listed `Like-This`."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._values = {_header_name(key): str(value) for key, value in environ.items() if _is_header(key, value)}

    def __getitem__(self, name: str) -> str:
        return self._values[name.title()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.title() in self._values


class AMLRequest:
    """One request, made from a WSGI environment. The body is read when it is first asked for, whatever its type."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def path(self) -> str:
        # WSGI carries bytes in latin-1 strings.
        return str(self.environ.get("PATH_INFO", "")).encode("latin-1").decode(errors="replace")

    @property
    def query_string(self) -> bytes:
        return str(self.environ.get("QUERY_STRING", "")).encode("latin-1")

    @property
    def full_path(self) -> str:
        return f"{self.path}?{self.query_string.decode(errors='replace')}"

    @property
    def url(self) -> str:
        host = self.headers.get("Host", "localhost")
        query = f"?{self.query_string.decode(errors='replace')}" if self.query_string else ""
        return f"{self.environ.get('wsgi.url_scheme', 'http')}://{host}{self.path}{query}"

    @property
    def remote_addr(self) -> str | None:
        address: str | None = self.environ.get("REMOTE_ADDR")
        return address

    @property
    def content_type(self) -> str:
        return str(self.environ.get("CONTENT_TYPE", ""))

    @property
    def mimetype(self) -> str:
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        length = self.environ.get("CONTENT_LENGTH")
        return int(length) if length else None

    @property
    def is_json(self) -> bool:
        return self.mimetype == "application/json" or (
            self.mimetype.startswith("application/") and self.mimetype.endswith("+json")
        )

    @cached_property
    def headers(self) -> Headers:
        return Headers(self.environ)

    @cached_property
    def args(self) -> Values[str]:
        return Values(parse_qsl(self.query_string.decode(errors="replace"), keep_blank_values=True))

    @cached_property
    def data(self) -> AwaitableBytes:
        stream: BinaryIO = self.environ["wsgi.input"]
        return AwaitableBytes(stream.read())

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> AwaitableBytes | AwaitableText:
        """The body, as it came or decoded as UTF-8. It is always kept; `cache` and `parse_form_data` change nothing."""
        return AwaitableText(self.data.decode()) if as_text else self.data

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body parsed as JSON; None if it has another type, unless `force`. Raises ValueError: it is not JSON,
        unless `silent`."""
        if not (force or self.is_json):
            return None
        try:
            return awaitable_json(json.loads(self.data))
        except ValueError:
            if silent:
                return None
            raise

    @property
    def json(self) -> Any:
        return self.get_json()

    @cached_property
    def form(self) -> Values[str]:
        return Values((name, value) for name, value in self._parts if isinstance(value, str))

    @cached_property
    def files(self) -> Values[UploadedFile]:
        return Values((name, value) for name, value in self._parts if isinstance(value, UploadedFile))

    @cached_property
    def _parts(self) -> list[tuple[str, str | UploadedFile]]:
        return list(form_parts(self.content_type, self.data))


def _is_header(key: str, value: object) -> bool:
    return key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and bool(value))


def _header_name(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").title()
