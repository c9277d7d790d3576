from pathlib import Path

import pytest

from despina.deploy.home import find_home
from despina.errors import InvalidArgument, NotFound


def test_environment_variable_wins(tmp_path: Path) -> None:
    (tmp_path / ".despina").mkdir()
    (tmp_path / "a").mkdir()
    assert find_home({"DESPINA_HOME": str(tmp_path / "a")}, tmp_path).directory == tmp_path / "a"
    assert find_home({"DESPINA_HOME": str(tmp_path / "b")}, tmp_path, create=True).directory == tmp_path / "b"


def test_environment_variable_that_names_nothing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"DESPINA_HOME: .*/typo does not exist"):
        find_home({"DESPINA_HOME": str(tmp_path / "typo")}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidArgument, match="DESPINA_HOME: there is no user of the name in ~nobody-at-all/x"):
        find_home({"DESPINA_HOME": "~nobody-at-all/x"}, tmp_path)


def test_variable_that_is_empty_is_none(tmp_path: Path) -> None:
    assert find_home({"DESPINA_HOME": ""}, tmp_path, create=True).directory == tmp_path / ".despina"


def test_nearest_folder_upwards_is_found(tmp_path: Path) -> None:
    (tmp_path / ".despina").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_home({}, tmp_path / "a" / "b", create=True).directory == tmp_path / ".despina"


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no \.despina folder in .*DESPINA_HOME"):
        find_home({}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_new_home_is_where_one_stands_and_made_by_whoever_stores_something(tmp_path: Path) -> None:
    assert find_home({}, tmp_path, create=True).directory == tmp_path / ".despina"
    assert list(tmp_path.iterdir()) == []
