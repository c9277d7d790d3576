"""Small files that are replaced in one step: who reads one finds the old content or the new, also after a power cut."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from despina.deploy.blobs import sync_directory
from despina.errors import Internal, InvalidArgument

Document = TypeVar("Document")


def read_json(path: Path, parse: Callable[[Any], Document], remedy: str = "restore it, or remove it") -> Document:
    """What `parse` makes of a document that `write_json` wrote. `remedy` is what to do about a damaged one. Raises
    FileNotFoundError: there is none. Raises Internal: somebody else wrote it, or damaged it."""
    try:
        return parse(json.loads(path.read_bytes()))
    except InvalidArgument as error:
        raise Internal(f"{path} is damaged: {error.message}; {remedy}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Internal(f"{path} is damaged: {error!r}; {remedy}") from None


def write_json(path: Path, document: Any, mode: int) -> None:
    """Writes a document, and makes the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w") as file:
            os.fchmod(file.fileno(), mode)
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
