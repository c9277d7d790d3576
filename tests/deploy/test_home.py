from pathlib import Path

import pytest

from despina.deploy.home import find_home
from despina.errors import NotFound


def test_environment_variable_wins_and_its_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / ".despina").mkdir()
    home = find_home({"DESPINA_HOME": str(tmp_path / "a" / "b")}, tmp_path)
    assert home.directory == tmp_path / "a" / "b"
    assert home.directory.is_dir()


def test_nearest_folder_upwards_is_found(tmp_path: Path) -> None:
    (tmp_path / ".despina").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_home({}, tmp_path / "a" / "b", create=True).directory == tmp_path / ".despina"


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no \.despina folder in .*DESPINA_HOME"):
        find_home({}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_create_makes_it_where_one_stands(tmp_path: Path) -> None:
    assert find_home({}, tmp_path, create=True).directory == tmp_path / ".despina"
    assert (tmp_path / ".despina").is_dir()
