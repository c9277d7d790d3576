import os
from pathlib import Path

import pytest

from despina.deploy.tree import read_tree
from despina.errors import InvalidArgument, NotFound


def test_folder_keeps_its_own_name_and_file_its_name(tmp_path: Path) -> None:
    (tmp_path / "models" / "m" / "1").mkdir(parents=True)
    (tmp_path / "models" / "m" / "1" / "model.onnx").write_bytes(b"x")
    assert [entry.path for entry in read_tree(tmp_path / "models")] == ["models/m/1/model.onnx"]
    assert [entry.path for entry in read_tree(tmp_path / "models" / "m" / "1" / "model.onnx")] == ["model.onnx"]


def test_files_that_can_be_executed_are_told_apart(tmp_path: Path) -> None:
    for name, mode in (("run", 0o755), ("data", 0o644)):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).chmod(mode)
    assert [(entry.path, entry.executable) for entry in read_tree(tmp_path / "run")] == [("run", True)]
    assert [(entry.path, entry.executable) for entry in read_tree(tmp_path / "data")] == [("data", False)]


def test_dot_is_called_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "models")
    assert [entry.path for entry in read_tree(Path("."))] == ["models/a"]


def test_empty_version_folder_of_an_ensemble_is_kept(tmp_path: Path) -> None:
    (tmp_path / "models" / "e" / "1").mkdir(parents=True)
    (tmp_path / "models" / "e" / "config.pbtxt").write_text("")
    entries = read_tree(tmp_path / "models")
    assert [(entry.path, entry.source is None) for entry in entries] == [
        ("models/e/1", True),
        ("models/e/config.pbtxt", False),
    ]


def test_child_paths_choose_a_part(tmp_path: Path) -> None:
    for name in ("a/1", "b/1", "ab/1"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "f").write_bytes(b"x")
    assert [entry.path for entry in read_tree(tmp_path / "models", ["a"])] == ["models/a/1/f"]
    with pytest.raises(NotFound, match="child path c does not exist in models"):
        read_tree(tmp_path / "models", ["a", "c"])


def test_link_inside_the_tree_is_followed(tmp_path: Path) -> None:
    (tmp_path / "models" / "m" / "1").mkdir(parents=True)
    (tmp_path / "models" / "m" / "1" / "f").write_bytes(b"x")
    (tmp_path / "models" / "m" / "2").symlink_to("1")
    assert [entry.path for entry in read_tree(tmp_path / "models")] == ["models/m/1/f", "models/m/2/f"]


def test_link_as_the_path_itself_is_called_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "f").write_bytes(b"x")
    (tmp_path / "models").symlink_to(tmp_path / "data")
    assert [entry.path for entry in read_tree(tmp_path / "models")] == ["models/f"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/etc/passwd", "models/link links to /etc/passwd, outside"),
        ("../secret", "models/link links to .*secret, outside"),
        (".", "models/link is a link to a folder that contains it"),
        ("nowhere", "models/link is a link to nothing"),
        ("link", "models/link is a link to nothing"),
    ],
)
def test_bad_links_are_refused(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "f").write_bytes(b"x")
    (tmp_path / "models" / "link").symlink_to(target)
    with pytest.raises(InvalidArgument, match=message):
        read_tree(tmp_path / "models")


def test_path_that_is_a_link_to_nothing_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to("nowhere")
    with pytest.raises(NotFound, match=r"model path .*model\.onnx is a link to nowhere, which does not exist"):
        read_tree(tmp_path / "model.onnx")


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    os.mkfifo(tmp_path / "models" / "pipe")
    with pytest.raises(InvalidArgument, match="models/pipe is neither a file nor a folder"):
        read_tree(tmp_path / "models")


def test_missing_path_and_folder_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read_tree(tmp_path / "models")
    (tmp_path / "models" / "m").mkdir(parents=True)
    with pytest.raises(InvalidArgument, match="holds no files"):
        read_tree(tmp_path / "models")


@pytest.mark.parametrize("home", [".despina", "store", "a/.despina"])
def test_own_folders_are_left_out(tmp_path: Path, home: str) -> None:
    for name in ("a/1/model.onnx", f"{home}/services/svc/keys.json", "b/.despina/registry.db"):
        (tmp_path / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / name).write_bytes(b"x")
    entries = read_tree(tmp_path / "models", home=tmp_path / "models" / home)
    assert [entry.path for entry in entries if entry.source] == ["models/a/1/model.onnx"]


def test_model_below_its_home_is_stored_whole(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "f").write_bytes(b"x")
    assert [entry.path for entry in read_tree(tmp_path / "models", home=tmp_path)] == ["models/f"]


@pytest.mark.parametrize("path", [".despina", "store"])
def test_own_folder_itself_is_no_model(tmp_path: Path, path: str) -> None:
    (tmp_path / path).mkdir()
    (tmp_path / path / "registry.db").write_bytes(b"x")
    with pytest.raises(InvalidArgument, match="is the folder of Despina's registry, services and keys, not a model"):
        read_tree(tmp_path / path, home=tmp_path / "store")


def test_link_into_an_own_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models" / ".despina").mkdir(parents=True)
    (tmp_path / "models" / ".despina" / "keys.json").write_bytes(b"x")
    (tmp_path / "models" / "link").symlink_to(".despina/keys.json")
    with pytest.raises(InvalidArgument, match=r"models/link links to .*keys\.json, in Despina's own folder"):
        read_tree(tmp_path / "models")


def test_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / os.fsdecode(b"\xff.bin")).write_bytes(b"x")
    with pytest.raises(InvalidArgument, match=r"b'models/\\xff.bin' is not a name in UTF-8; rename it"):
        read_tree(tmp_path / "models")
