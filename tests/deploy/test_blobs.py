import fcntl
import hashlib
import os
import threading
from pathlib import Path

import pytest

from despina.deploy.blobs import Blobs
from despina.errors import Internal


def test_content_is_stored_once_under_its_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"weights")
    blobs = Blobs(tmp_path / "blobs")
    first, second = blobs.put(tmp_path / "a"), blobs.put(tmp_path / "b")
    assert first == second
    assert first.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert first.size == 7
    assert blobs.path(first.sha256).read_bytes() == b"weights"
    assert [path.name for path in (tmp_path / "blobs").glob("sha256/*/*")] == [first.sha256]
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []


def test_copy_that_fails_leaves_no_temporary_file(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    with pytest.raises(IsADirectoryError):
        blobs.put(tmp_path)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_damaged_content_is_not_handed_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    blobs = Blobs(tmp_path / "blobs")
    blob = blobs.put(tmp_path / "a")
    damage(blobs.path(blob.sha256), b"weighty")
    with pytest.raises(Internal, match="is damaged"):
        blobs.copy(blob.sha256, tmp_path / "out", mode=0o644)
    assert not (tmp_path / "out").exists()


def test_collect_keeps_what_is_referenced(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    for name in ("keep", "drop"):
        (tmp_path / name).write_text(name)
    keep, drop = blobs.put(tmp_path / "keep"), blobs.put(tmp_path / "drop")
    (tmp_path / "blobs" / "tmp" / "half").write_bytes(b"12")
    removed = blobs.collect([keep.sha256])
    assert (removed.files, removed.size) == (2, 4 + 2)
    assert blobs.path(keep.sha256).exists()
    assert not blobs.path(drop.sha256).exists()


def test_collect_waits_for_a_registration_that_has_copied_but_not_inserted(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    (tmp_path / "a").write_bytes(b"weights")
    inserted: list[str] = []
    with blobs.writing():
        blob = blobs.put(tmp_path / "a")
        collecting = threading.Thread(target=lambda: blobs.collect(iter(inserted)))
        collecting.start()
        collecting.join(0.2)
        assert collecting.is_alive()
        inserted.append(blob.sha256)
    collecting.join(10)
    assert blobs.path(blob.sha256).exists()


def test_registrations_do_not_wait_for_each_other(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    with blobs.writing(), (tmp_path / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_link_shares_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    blobs = Blobs(tmp_path / "blobs")
    blob = blobs.put(tmp_path / "a")
    blobs.link(blob, tmp_path / "linked")
    assert os.path.samefile(tmp_path / "linked", blobs.path(blob.sha256))


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"weighty"])
def test_damaged_content_is_replaced_when_it_is_stored_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    blobs = Blobs(tmp_path / "blobs")
    blob = blobs.put(tmp_path / "a")
    damage(blobs.path(blob.sha256), content)
    assert blobs.put(tmp_path / "a") == blob
    assert blobs.path(blob.sha256).read_bytes() == b"weights"


def test_content_that_is_whole_is_kept_for_those_who_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    blobs = Blobs(tmp_path / "blobs")
    blob = blobs.put(tmp_path / "a")
    before = blobs.path(blob.sha256).stat().st_ino
    blobs.put(tmp_path / "a")
    assert blobs.path(blob.sha256).stat().st_ino == before


def test_content_of_another_length_is_not_linked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    blobs = Blobs(tmp_path / "blobs")
    blob = blobs.put(tmp_path / "a")
    damage(blobs.path(blob.sha256), b"weigh")
    with pytest.raises(Internal, match="is damaged: expected 7 bytes, it has 5; register the same files again"):
        blobs.link(blob, tmp_path / "linked")
    assert not (tmp_path / "linked").exists()
    blobs.path(blob.sha256).unlink()
    with pytest.raises(Internal, match="is missing; register the same files again"):
        blobs.link(blob, tmp_path / "linked")
