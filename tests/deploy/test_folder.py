from pathlib import Path

from despina.deploy.folder import ServiceFolder


def test_large_log_is_moved_away_under_its_writers(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    assert not folder.rotate_log(10)
    with folder.log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        assert not folder.rotate_log(10)
        writer.write(b"more\n")
        assert folder.rotate_log(10)
        writer.write(b"after\n")
    assert (tmp_path / "service.log.1").read_text() == "0123456789more\n"
    assert folder.log.read_text() == "after\n"
    assert folder.tail(5) == ["after"]
