import fcntl
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from despina.deploy.database import connect, write
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription, Resources
from despina.deploy.reference import ModelReference
from despina.deploy.registry import Registry
from despina.errors import Internal, InvalidArgument, NotFound


def open_registry(tmp_path: Path) -> Registry:
    (tmp_path / "home").mkdir(exist_ok=True)
    return Registry(Home(tmp_path / "home"), clock=lambda: datetime(2021, 2, 18, 9, 30, tzinfo=UTC))


def write_file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "model.onnx").write_text(text)
    return tmp_path / "model.onnx"


def test_registering_again_makes_the_next_version_and_keeps_the_first(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    first = registry.register(ModelDescription("m"), write_file(tmp_path, "one"))
    second = registry.register(ModelDescription("m"), write_file(tmp_path, "two"))
    assert [first.id, second.id] == ["m:1", "m:2"]
    assert registry.get(ModelReference("m")).id == "m:2"
    sha256 = registry.get(ModelReference("m", 1)).files[0].sha256
    assert registry.blobs.path(sha256 or "").read_text() == "one"


def test_everything_said_at_registration_comes_back(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "models" / "a" / "f").write_text("123")
    said = ModelDescription(
        "bidaf-9-tutorial",
        "Onnx",
        "1.7",
        "Question answering",
        {"area": "nlp"},
        {"source": "zoo"},
        Resources(0.5, 2, 1),
    )
    registry.register(said, tmp_path / "models")
    record = registry.get(ModelReference("bidaf-9-tutorial", 1))
    assert record.description == said
    json = record.to_json()
    assert json["id"] == "bidaf-9-tutorial:1"
    assert json["createdTime"] == "2021-02-18T09:30:00+00:00"
    assert json["unpack"] is True
    assert json["resourceConfiguration"] == {"cpu": 0.5, "memoryInGB": 2, "gpu": 1}
    assert json["size"] == 3


def test_deleted_numbers_are_not_used_again(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    path = write_file(tmp_path, "one")
    registry.register(ModelDescription("m", tags={"a": "b"}), path)
    registry.register(ModelDescription("m"), path)
    registry.delete(ModelReference("m"))
    registry.delete(ModelReference("m", 1))
    assert registry.find() == []
    assert registry.register(ModelDescription("m"), path).id == "m:3"
    with pytest.raises(NotFound, match="model m:1 not found; have m:3"):
        registry.delete(ModelReference("m", 1))


def test_find_filters_and_orders(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    path = write_file(tmp_path, "one")
    registry.register(ModelDescription("b", "Onnx", tags={"area": "nlp"}), path)
    registry.register(ModelDescription("a", tags={"area": "vision"}, properties={"p": "1"}), path)
    registry.register(ModelDescription("b"), path)
    ids = [
        [record.id for record in found]
        for found in (
            registry.find(),
            registry.find("b"),
            registry.find(latest=True),
            registry.find(tags=[("area", None)]),
            registry.find(tags=[("area", "nlp")]),
            registry.find(properties=[("p", "1")]),
            registry.find(framework="Onnx"),
            registry.find(tags=[("area", None)], latest=True),
        )
    ]
    assert ids == [
        ["a:1", "b:2", "b:1"],
        ["b:2", "b:1"],
        ["a:1", "b:2"],
        ["a:1", "b:1"],
        ["b:1"],
        ["a:1"],
        ["b:1"],
        ["a:1", "b:1"],
    ]


def test_tags_change_and_properties_do_not(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    registry.register(
        ModelDescription("m", tags={"a": "1", "b": "1"}, properties={"p": "1"}), write_file(tmp_path, "x")
    )
    record = registry.update(
        ModelReference("m"), description="new", add_tags={"a": "2"}, remove_tags=["b"], add_properties={"q": "1"}
    )
    said = record.description
    assert (said.description, said.tags, said.properties) == ("new", {"a": "2"}, {"p": "1", "q": "1"})
    with pytest.raises(InvalidArgument, match="property p is set already and properties are immutable"):
        registry.update(ModelReference("m"), add_tags={"lost": "1"}, add_properties={"p": "1"})
    assert "lost" not in registry.get(ModelReference("m")).description.tags


def test_unknown_framework_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    with pytest.raises(InvalidArgument, match="framework 'Triton' is not known; expected one of Custom, "):
        registry.register(ModelDescription("m", "Triton"), write_file(tmp_path, "x"))
    assert not (tmp_path / "home" / "blobs").exists()


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        (Resources(cpu_cores=0), "cpu: expected a number above 0, got 0"),
        (Resources(memory_gb=-1.5), "memoryInGB: expected a number above 0, got -1.5"),
        (Resources(gpu_cores=-1), "gpu: expected an integer from 0 up, got -1"),
    ],
)
def test_resources_that_nothing_can_have_are_refused(tmp_path: Path, resources: Resources, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        open_registry(tmp_path).register(ModelDescription("m", resources=resources), write_file(tmp_path, "x"))


REGISTER = """
import sys
from pathlib import Path
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry

registry = Registry(Home(Path(sys.argv[1])))
print("up", flush=True)
sys.stdin.readline()
for _ in range(10):
    print(registry.register(ModelDescription("m"), Path(sys.argv[2])).version, flush=True)
"""


def test_processes_that_register_at_once_get_different_versions(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    path = write_file(tmp_path, "one")
    command = [sys.executable, "-c", REGISTER, str(tmp_path / "home"), str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=60)[0])
    versions = [int(version) for output in outputs for version in output.split()]
    assert sorted(versions) == list(range(1, 31))


CRASH = """
import os, signal, sys
from pathlib import Path
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry

def progress(path):
    if path == "models/b":
        os.kill(os.getpid(), signal.SIGKILL)

Registry(Home(Path(sys.argv[1]))).register(ModelDescription("m"), Path(sys.argv[2]), progress=progress)
"""


def test_crash_between_copy_and_insert_leaves_a_clean_registry(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "models").mkdir()
    for name in ("a", "b"):
        (tmp_path / "models" / name).write_text(name)
    died = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path / "home"), str(tmp_path / "models")], check=False)
    assert died.returncode == -signal.SIGKILL
    registry = open_registry(tmp_path)
    assert registry.find() == []
    assert registry.collect().files == 1
    record = registry.register(ModelDescription("m"), tmp_path / "models")
    assert record.id == "m:1"
    assert registry.collect().files == 0


def test_collect_frees_what_only_deleted_models_used(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    registry.register(ModelDescription("m"), write_file(tmp_path, "shared"))
    registry.register(ModelDescription("n"), write_file(tmp_path, "shared"))
    registry.register(ModelDescription("m"), write_file(tmp_path, "alone"))
    registry.delete(ModelReference("m", 2))
    registry.delete(ModelReference("m", 1))
    removed = registry.collect()
    assert (removed.files, removed.size) == (1, 5)


def test_registry_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    registry = open_registry(tmp_path)
    with closing(sqlite3.connect(tmp_path / "home" / "registry.db")) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(InvalidArgument, match="schema 9"):
        registry.find()


def test_a_full_disk_is_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"

    def fill() -> None:
        with write(path) as connection:
            connection.execute("PRAGMA max_page_count=14")
            for number in range(100):
                connection.execute(
                    "INSERT INTO models (name, version, framework, description, created_time, created_by) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (f"m{number}", 1, "Custom", "x" * 5_000, "now", "me"),
                )

    with pytest.raises(Internal, match=r"registry .*registry.db: database or disk is full"):
        fill()
    with connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM models").fetchone()[0] == 0


def test_who_may_not_write_is_told_what_reading_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.database.write_text("something that SQLite refuses")
    monkeypatch.setattr("os.access", lambda path, mode: path == home.database)
    with pytest.raises(Internal, match=f"^registry .*; reading it, too, needs write access to {tmp_path}$"):
        Registry(home).find()


def test_a_change_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    registry.register(ModelDescription("m"), write_file(tmp_path, "one"))

    def fail() -> None:
        with write(Home(tmp_path / "home").database) as connection:
            connection.execute("DELETE FROM files")
            raise InvalidArgument("no")

    with pytest.raises(InvalidArgument):
        fail()
    assert len(registry.get(ModelReference("m")).files) == 1


def test_what_is_stored_is_not_collected_before_its_model_is_registered(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("a", "b"):
        (tmp_path / "models" / name).write_text(name)

    def locked(path: str) -> None:
        with (registry.blobs.root / "lock").open("ab") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert len(registry.register(ModelDescription("m"), tmp_path / "models", progress=locked).files) == 2


def test_a_framework_version_needs_a_framework(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="model m: a framework version needs a framework"):
        open_registry(tmp_path).register(ModelDescription("m", framework_version="1"), write_file(tmp_path, "one"))


def test_files_are_stored_read_only_with_their_executable_bit_noted(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    path = write_file(tmp_path, "x")
    path.chmod(0o755)
    record = registry.register(ModelDescription("m"), path)
    assert record.files[0].executable
    assert os.stat(registry.blobs.path(record.files[0].sha256 or "")).st_mode & 0o777 == 0o444
