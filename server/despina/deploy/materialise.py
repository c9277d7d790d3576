"""A registered model back on disk: linked for a service, copied for a user."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from despina.deploy.blobs import Blob, Blobs
from despina.deploy.record import ModelRecord
from despina.errors import AlreadyExists


def link_model(blobs: Blobs, record: ModelRecord, target: Path) -> Path:
    """Makes the folder `target` with the model in it, of hard links, all at once or not at all.

    Files are shared with the registry and so read-only; an executable one is copied, for its mode is its own. Returns
    the registered folder or file in `target`. Raises AlreadyExists: there is something at `target`.
    """
    if target.exists():
        raise AlreadyExists(f"{target} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        temporary.chmod(0o755)
        with blobs.writing():
            for blob, executable, place in _places(record, temporary):
                if executable:
                    blobs.copy(blob.sha256, place, mode=0o555)
                else:
                    blobs.link(blob, place)
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target / record.top


def copy_model(blobs: Blobs, record: ModelRecord, target: Path, *, overwrite: bool = False) -> Path:
    """Copies the model into the folder `target`, which may hold other things. Returns the registered folder or file in
    `target`. Raises AlreadyExists: one of its files is there and `overwrite` is false; nothing was written then."""
    taken = [file.path for file in record.files if file.sha256 and (target / file.path).exists()]
    if taken and not overwrite:
        raise AlreadyExists(f"{target / taken[0]} exists already; choose another folder or say to overwrite")
    with blobs.writing():
        for blob, executable, place in _places(record, target):
            blobs.copy(blob.sha256, place, mode=0o755 if executable else 0o644)
    return target / record.top


def _places(record: ModelRecord, target: Path) -> Iterator[tuple[Blob, bool, Path]]:
    """What each file holds, whether it is executable and where it goes; folders are made on the way."""
    for file in record.files:
        place = target / file.path
        if file.sha256 is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            yield Blob(file.sha256, file.size), file.executable, place
