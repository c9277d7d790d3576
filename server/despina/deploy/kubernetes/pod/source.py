"""A source directory as one archive, small enough to travel in a ConfigMap."""

import gzip
import io
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from despina.deploy.home import FOLDER
from despina.deploy.prepare import copy_source
from despina.errors import InvalidArgument

LARGEST_BYTES = 700 * 1024
"""A ConfigMap holds 1 MiB, its request 1.5 MiB, and base64 adds a third."""


def pack_source(directory: Path) -> bytes:
    """What a service on one machine has of it, links followed. The same bytes for the same files, so that an unchanged
    script changes nothing in the cluster. Raises InvalidArgument: it cannot be copied, or is larger than a ConfigMap
    can hold."""
    plain = io.BytesIO()
    with TemporaryDirectory() as folder, tarfile.open(fileobj=plain, mode="w") as archive:
        copy = Path(folder, FOLDER, "source")  # no folder of this name is copied: `directory` may hold this one
        copy_source(directory, copy)
        for path in sorted(copy.rglob("*")):
            if path.is_file():
                archive.addfile(*_entry(path, path.relative_to(copy)))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    if len(packed) > LARGEST_BYTES:
        raise InvalidArgument(
            f"source directory {directory}: {len(packed)} bytes when compressed, and a cluster takes {LARGEST_BYTES}; "
            "keep large files in a model, or in the image"
        )
    return packed


def unpack_source(packed: bytes, directory: Path) -> None:
    """Writes the files below `directory`, and nothing beside it.

    `extractall` has a filter for that since Python 3.11.4 only. Raises InvalidArgument: an entry that `pack_source`
    does not make: no file, or a path out of the directory.
    """
    root = directory.resolve()
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for entry in archive:
            target = (root / entry.name).resolve()
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is None or not target.is_relative_to(root):
                raise InvalidArgument(f"packed source: expected files below {directory}, got '{entry.name}'")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
            target.chmod(entry.mode)


def _entry(path: Path, relative: Path) -> tuple[tarfile.TarInfo, io.BytesIO]:
    content = path.read_bytes()
    entry = tarfile.TarInfo(relative.as_posix())
    entry.size = len(content)
    entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    return entry, io.BytesIO(content)
