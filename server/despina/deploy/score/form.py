"""Form bodies: `application/x-www-form-urlencoded` and `multipart/form-data`."""

import io
from collections.abc import Iterator
from email.message import MIMEPart
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from urllib.parse import parse_qsl


class UploadedFile(io.BytesIO):
    """One file of a form."""

    def __init__(self, data: bytes, name: str, filename: str, content_type: str) -> None:
        super().__init__(data)
        self.name = name
        self.filename = filename
        self.content_type = content_type

    @property
    def stream(self) -> io.BytesIO:
        return self

    def save(self, destination: str | Path) -> None:
        Path(destination).write_bytes(self.getvalue())


def form_parts(content_type: str, body: bytes) -> Iterator[tuple[str, str | UploadedFile]]:
    """Names and values, in the order of the body; nothing for other content types."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        yield from parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    elif kind == "multipart/form-data":
        head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
        message = BytesParser(policy=HTTP).parsebytes(head + body)
        for part in message.iter_parts():
            yield from _part(part)


def _part(part: MIMEPart) -> Iterator[tuple[str, str | UploadedFile]]:
    name = part.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        return
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    filename = part.get_filename()
    if filename is None:
        yield name, data.decode(errors="replace")
    else:
        yield name, UploadedFile(data, name, filename, part.get_content_type())
