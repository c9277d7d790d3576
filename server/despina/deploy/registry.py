"""Registered models: names with versions 1, 2, 3, …, never overwritten, never renumbered.

Files first, then one transaction: a registration is in the registry with all its files on disk, or it is not there.
"""

import getpass
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from despina.deploy.blobs import Blobs, Collected
from despina.deploy.database import connect, write
from despina.deploy.home import Home
from despina.deploy.record import FRAMEWORKS, ModelDescription, ModelRecord, Resources, StoredFile
from despina.deploy.reference import ModelReference, check_name, model_not_found
from despina.deploy.tree import TreeEntry, read_tree
from despina.deploy.value_kinds import KINDS, fits
from despina.errors import InvalidArgument

Filter = tuple[str, str | None]
"""A tag or property that must be there, with this value or (None) with any."""


class Registry:
    """The models of one home directory. Any number of processes may use it at once."""

    def __init__(self, home: Home, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.blobs = Blobs(home.blobs)
        self._directory = home.directory
        self._database = home.database
        self._clock = clock

    def register(
        self,
        description: ModelDescription,
        path: Path,
        child_paths: Sequence[str] = (),
        progress: Callable[[str], None] = lambda line: None,
    ) -> ModelRecord:
        """Stores what is at `path` as the next version of `description.name`.

        `progress` is told of each file before it is copied. Raises InvalidArgument: the name or framework is not
        allowed, or the tree cannot be stored. Raises NotFound: there is nothing at `path`.
        """
        check_description(description)
        entries = read_tree(path, child_paths, self._directory)
        with self.blobs.writing():
            files = [self._store(entry, progress) for entry in entries]
            return self._insert(description, files)

    def get(self, reference: ModelReference) -> ModelRecord:
        """The version asked for, or the newest. Raises NotFound: there is none; the message names what there is."""
        with connect(self._database) as connection:
            return _get(connection, reference)

    def find(
        self,
        name: str | None = None,
        *,
        tags: Sequence[Filter] = (),
        properties: Sequence[Filter] = (),
        framework: str | None = None,
        latest: bool = False,
    ) -> list[ModelRecord]:
        """All versions that fit, by name, newest first; with `latest` only the newest that fits of each name."""
        with connect(self._database) as connection:
            rows = connection.execute("SELECT * FROM models WHERE deleted_time IS NULL ORDER BY name, version DESC")
            records = [_record(connection, row) for row in rows.fetchall()]
        fitting = [
            record
            for record in records
            if name in (None, record.name)
            and framework in (None, record.description.framework)
            and fits_filters(record.description.tags, tags)
            and fits_filters(record.description.properties, properties)
        ]
        return [next(versions) for _, versions in groupby(fitting, key=attrgetter("name"))] if latest else fitting

    def update(
        self,
        reference: ModelReference,
        *,
        description: str | None = None,
        add_tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        add_properties: Mapping[str, str] | None = None,
    ) -> ModelRecord:
        """Changes what may change: the description and the tags. Properties can be added, never changed. Raises
        NotFound: no such model. Raises InvalidArgument: a property that is there already."""
        with write(self._database) as connection:
            record = _get(connection, reference)
            _refuse_repeats(record, add_properties or {})
            key = (record.name, record.version)
            if description is not None:
                connection.execute(
                    "UPDATE models SET description = ? WHERE name = ? AND version = ?", (description, *key)
                )
            for tag in remove_tags:
                connection.execute("DELETE FROM model_tags WHERE name = ? AND version = ? AND key = ?", (*key, tag))
            _put_pairs(connection, "model_tags", key, add_tags or {})
            _put_pairs(connection, "model_properties", key, add_properties or {})
            return _get(connection, record.reference)

    def delete(self, reference: ModelReference) -> ModelRecord:
        """Removes a version for good, except its number and (until `collect`) its bytes. Returns what it was. Raises
        NotFound: no such model."""
        with write(self._database) as connection:
            record = _get(connection, reference)
            key = (record.name, record.version)
            for table in ("model_tags", "model_properties", "files"):
                connection.execute(f"DELETE FROM {table} WHERE name = ? AND version = ?", key)
            connection.execute("UPDATE models SET deleted_time = ? WHERE name = ? AND version = ?", (self._now(), *key))
        return record

    def collect(self) -> Collected:
        """Removes the bytes that no registered model needs: deleted models, and registrations that died half-way."""
        return self.blobs.collect(self._referenced())

    def _referenced(self) -> Iterator[str]:
        with connect(self._database) as connection:
            for row in connection.execute("SELECT DISTINCT sha256 FROM files WHERE sha256 IS NOT NULL"):
                yield row["sha256"]

    def _store(self, entry: TreeEntry, progress: Callable[[str], None]) -> StoredFile:
        if entry.source is None:
            return StoredFile(entry.path, None, 0, False)
        progress(entry.path)
        blob = self.blobs.put(entry.source)
        return StoredFile(entry.path, blob.sha256, blob.size, entry.executable)

    def _insert(self, said: ModelDescription, files: Sequence[StoredFile]) -> ModelRecord:
        with write(self._database) as connection:
            (newest,) = connection.execute("SELECT max(version) FROM models WHERE name = ?", (said.name,)).fetchone()
            key = (said.name, (newest or 0) + 1)
            connection.execute(
                "INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    *key,
                    said.framework,
                    said.framework_version,
                    said.description,
                    self._now(),
                    _user(),
                    *astuple(said.resources),
                ),
            )
            _put_pairs(connection, "model_tags", key, said.tags)
            _put_pairs(connection, "model_properties", key, said.properties)
            connection.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [(*key, file.path, file.sha256, file.size, file.executable) for file in files],
            )
            return _get(connection, ModelReference(*key))

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")


def check_description(said: ModelDescription) -> None:
    """Raises InvalidArgument: the name, the framework or the resources are not allowed, or a framework version comes
    without a framework."""
    check_name(said.name)
    if said.framework not in FRAMEWORKS:
        raise InvalidArgument(
            f"model {said.name}: framework {said.framework!r} is not known; expected one of {', '.join(FRAMEWORKS)}"
        )
    if said.framework_version is not None and said.framework == "Custom":
        raise InvalidArgument(f"model {said.name}: a framework version needs a framework")
    resources = said.resources
    for name, value, kind in (
        ("cpu", resources.cpu_cores, "positive"),
        ("memoryInGB", resources.memory_gb, "positive"),
        ("gpu", resources.gpu_cores, "count"),
    ):
        if value is not None and not fits(value, kind):
            raise InvalidArgument(f"model {said.name}: {name}: expected {KINDS[kind]}, got {value!r}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id that has no name
        return "unknown"


def _get(connection: sqlite3.Connection, reference: ModelReference) -> ModelRecord:
    row = connection.execute(
        "SELECT * FROM models WHERE name = ? AND version = coalesce(?, version) AND deleted_time IS NULL "
        "ORDER BY version DESC LIMIT 1",
        (reference.name, reference.version),
    ).fetchone()
    if row is None:
        have = connection.execute("SELECT name, version FROM models WHERE deleted_time IS NULL").fetchall()
        raise model_not_found(reference, [ModelReference(one["name"], one["version"]) for one in have])
    return _record(connection, row)


def _record(connection: sqlite3.Connection, row: sqlite3.Row) -> ModelRecord:
    key = (row["name"], row["version"])
    files = connection.execute("SELECT * FROM files WHERE name = ? AND version = ? ORDER BY path", key).fetchall()
    said = ModelDescription(
        name=row["name"],
        framework=row["framework"],
        framework_version=row["framework_version"],
        description=row["description"],
        tags=_pairs(connection, "model_tags", key),
        properties=_pairs(connection, "model_properties", key),
        resources=Resources(row["cpu_cores"], row["memory_gb"], row["gpu_cores"]),
    )
    stored = tuple(StoredFile(file["path"], file["sha256"], file["size"], bool(file["executable"])) for file in files)
    return ModelRecord(said, row["version"], row["created_time"], row["created_by"], stored)


def _pairs(connection: sqlite3.Connection, table: str, key: tuple[str, int]) -> dict[str, str]:
    rows = connection.execute(f"SELECT key, value FROM {table} WHERE name = ? AND version = ? ORDER BY key", key)
    return {row["key"]: row["value"] for row in rows}


def _put_pairs(connection: sqlite3.Connection, table: str, key: tuple[str, int], pairs: Mapping[str, str]) -> None:
    rows = [(*key, name, value) for name, value in pairs.items()]
    connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", rows)


def _refuse_repeats(record: ModelRecord, properties: Mapping[str, str]) -> None:
    repeated = sorted(properties.keys() & record.description.properties.keys())
    if repeated:
        raise InvalidArgument(
            f"model {record.id}: property {', '.join(repeated)} is set already and properties are immutable; "
            "use a tag for what changes"
        )


def fits_filters(have: Mapping[str, str], wanted: Sequence[Filter]) -> bool:
    """Whether these tags or properties are all that is wanted."""
    return all(key in have and value in (None, have[key]) for key, value in wanted)
