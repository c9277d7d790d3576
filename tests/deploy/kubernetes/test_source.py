import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from despina.deploy.kubernetes.pod.source import LARGEST_BYTES, pack_source, unpack_source
from despina.errors import InvalidArgument


def test_a_folder_comes_out_as_it_went_in(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "package").mkdir(parents=True)
    (source / "score.py").write_text("def init(): ...\n")
    (source / "package" / "__init__.py").touch()
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o700)
    unpack_source(pack_source(source), tmp_path / "copy")
    found = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert found == {"score.py", "package/__init__.py", "run.sh"}
    assert (tmp_path / "copy" / "score.py").read_text() == "def init(): ...\n"
    assert (tmp_path / "copy" / "run.sh").stat().st_mode & 0o111


def test_caches_and_repositories_stay_behind(tmp_path: Path) -> None:
    for folder in ("__pycache__", ".git", ".despina"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").touch()
    (tmp_path / "score.py").touch()
    with tarfile.open(fileobj=io.BytesIO(pack_source(tmp_path)), mode="r:gz") as archive:
        assert archive.getnames() == ["score.py"]


def test_links_are_followed_as_on_one_machine(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "tokens.py").touch()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "common").symlink_to("../shared")
    unpack_source(pack_source(tmp_path / "source"), tmp_path / "copy")
    assert (tmp_path / "copy" / "common" / "tokens.py").is_file()
    (tmp_path / "source" / "gone.py").symlink_to("nowhere.py")
    with pytest.raises(InvalidArgument, match=r"gone.py is a link to nowhere.py, which does not exist"):
        pack_source(tmp_path / "source")


def test_a_folder_may_hold_the_one_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "score.py").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with tarfile.open(fileobj=io.BytesIO(pack_source(tmp_path)), mode="r:gz") as archive:
        assert archive.getnames() == ["score.py"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    for number, order in enumerate((1, -1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("a.py", "b.py", "c.py", "score.py")[::order]:
            (folder / name).write_text("same")
        monkeypatch.setattr("time.time", lambda then=1e9 * (number + 1): then)
        packed.append(pack_source(folder))
    assert packed[0] == packed[1]


def test_what_a_cluster_cannot_take_is_refused(tmp_path: Path) -> None:
    noise = b"".join(hash_of(number) for number in range(LARGEST_BYTES // 32 + 1))
    (tmp_path / "weights.bin").write_bytes(noise)
    with pytest.raises(InvalidArgument, match="keep large files in a model, or in the image"):
        pack_source(tmp_path)


def hash_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@pytest.mark.parametrize("name", ["../outside", "/outside", "folder/../../outside"])
def test_a_path_out_of_the_folder_is_not_written(tmp_path: Path, name: str) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(InvalidArgument, match=f"expected files below .*, got '{name}'"):
        unpack_source(plain.getvalue(), tmp_path / "copy")
    assert not (tmp_path / "outside").exists()


def test_a_link_is_not_made(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
    with pytest.raises(InvalidArgument, match="got 'link'"):
        unpack_source(plain.getvalue(), tmp_path / "copy")
