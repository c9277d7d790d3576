"""Repositories that are a single model: a model file, or a directory with one, as KServe mounts them at /mnt/models.

    model.onnx                    any file
    model.onnx  [config.pbtxt]    in a directory
    1/model.onnx  [config.pbtxt]  in a directory, with as many versions as there are

Each is given the shape of a repository in a temporary directory, by links to where the model is. So it is read, polled
and loaded like any other; external data beside a model file is found.
"""

import mmap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from despina.repository.files import DEFAULT_FILENAME
from despina.repository.temporary import TemporaryDirectory
from despina.repository.versions import version_of

_CONFIG = "config.pbtxt"

_LOCATION = b"\n\x08location"
"""How the key that goes before the file name of a tensor's external data stands in a model file: the first field of a
StringStringEntryProto, eight bytes long."""


@dataclass(frozen=True, slots=True)
class BareModel:
    """A model outside a repository: its name, and what its directory there shall hold, by name: links to paths, or the
    text of a file. `directory` is set instead when it is a whole model directory already."""

    name: str
    links: dict[str, Path]
    config: str = ""
    directory: Path | None = None


def find_bare_model(path: Path, name: str | None = None) -> BareModel | None:
    """The model that `path` is, called `name` or after the path; None when it is a repository or nothing at all."""
    path = path.absolute()
    if path.is_file():
        return _file(path, name)
    if (path / DEFAULT_FILENAME).is_file():
        links = {"1": path}
        if (path / _CONFIG).is_file():
            links[_CONFIG] = path / _CONFIG
        return BareModel(name or path.name, links)
    if _has_versions(path):
        return BareModel(name or path.name, {}, directory=path)
    return None


def _file(path: Path, name: str | None) -> BareModel:
    above = path.parent.parent if version_of(path.parent.name) is not None else path.parent
    name = name or (above.name if path.name == DEFAULT_FILENAME else path.stem)
    if not _has_data(path):
        return BareModel(name, {f"1/{DEFAULT_FILENAME}": path})
    config = f'backend: "onnxruntime"\ndefault_model_filename: {_quoted(path.name)}\n'
    return BareModel(name, {"1": path.parent}, config)


def _has_data(path: Path) -> bool:
    """Whether there are files that look like the model's weights, or the model names some: exporters call them after
    the tensors, too. ONNX Runtime reads them only from the directory the model is really in; otherwise it is better not
    to link a directory with who knows what."""
    if any(entry != path and entry.name.startswith(path.stem) for entry in path.parent.iterdir()):
        return True
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as model:
            return model.find(_LOCATION) >= 0
    except (OSError, ValueError):  # It cannot be read, or it is empty: the load says so.
        return False


def _quoted(text: str) -> str:
    """A string of protobuf's text format."""
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode("utf-8", "surrogateescape")) + '"'


def _has_versions(path: Path) -> bool:
    if not path.is_dir():
        return False
    versions = (entry for entry in path.iterdir() if version_of(entry.name) is not None)
    return any((version / DEFAULT_FILENAME).exists() for version in versions)


@contextmanager
def as_repositories(paths: Iterable[Path], name: str | None = None) -> Iterator[tuple[Path, ...]]:
    """The repositories to serve instead of `paths`: bare models are replaced by a repository made for them, which is
    removed afterwards; others are left as they are."""
    with ExitStack() as stack:
        repositories = []
        for path in paths:
            bare = find_bare_model(path, name)
            repositories.append(path if bare is None else stack.enter_context(_repository_of(bare)))
        yield tuple(repositories)


@contextmanager
def _repository_of(bare: BareModel) -> Iterator[Path]:
    temporary = TemporaryDirectory("repository")
    try:
        directory = temporary.path / bare.name
        if bare.directory is not None:
            directory.symlink_to(bare.directory, target_is_directory=True)
        else:
            directory.mkdir()
            for entry, target in bare.links.items():
                (directory / entry).parent.mkdir(exist_ok=True)
                (directory / entry).symlink_to(target)
            if bare.config:
                (directory / _CONFIG).write_text(bare.config)
        yield temporary.path
    finally:
        temporary.cleanup()
