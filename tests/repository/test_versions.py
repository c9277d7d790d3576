from pathlib import Path

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.errors import Internal, InvalidArgument
from despina.repository.versions import select_versions, version_directories

LEADING = "ignore version directory '{}' which contains leading zeros in its directory name"
NUMBER = "ignore version directory '{}' which fails to convert to integral number"


def test_versions_are_numeric_directories_in_numeric_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("10", "2", "0", "warmup", "initial_state", "configs"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    found = version_directories(tmp_path)
    assert list(found.items()) == [(version, tmp_path / str(version)) for version in (0, 2, 10)]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("01", LEADING),
        ("00", LEADING),
        ("0x1", LEADING),
        ("abc", NUMBER),
        ("3abc", NUMBER),
        ("-1", NUMBER),
        ("+1", NUMBER),
        ("1.0", NUMBER),
        (" 1", NUMBER),
        (".cache", NUMBER),
        ("Warmup", NUMBER),
        ("٣", NUMBER),
        ("9223372036854775808", NUMBER),
        ("9" * 200, NUMBER),
    ],
)
def test_other_directories_earn_a_warning(
    tmp_path: Path, name: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).mkdir()
    assert version_directories(tmp_path) == {}
    assert caplog.messages == [warning.format(name)]


def test_largest_version_has_63_bits(tmp_path: Path) -> None:
    (tmp_path / "9223372036854775807").mkdir()
    assert list(version_directories(tmp_path)) == [2**63 - 1]


def test_directory_that_vanished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Internal, match="failed to open directory"):
        version_directories(tmp_path / "absent")


def config(policy: str) -> ModelConfig:
    return parse_text(f'name: "m" {policy}')


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", (10,)),
        ("version_policy { latest { num_versions: 1 } }", (10,)),
        ("version_policy { latest { num_versions: 2 } }", (3, 10)),
        ("version_policy { latest { num_versions: 9 } }", (1, 2, 3, 10)),
        ("version_policy { all { } }", (1, 2, 3, 10)),
        ("version_policy { }", (1, 2, 3, 10)),
        ("version_policy { specific { versions: [ 3, 1, 3 ] } }", (1, 3)),
    ],
)
def test_policy_selects_versions(policy: str, expected: tuple[int, ...]) -> None:
    assert select_versions(config(policy), [10, 1, 3, 2]) == expected


def test_specific_version_that_is_missing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert select_versions(config("version_policy { specific { versions: [ 7, 1 ] } }"), [1]) == (1,)
    assert caplog.messages == ["version 7 is specified for model 'm', but the version directory is not present"]


@pytest.mark.parametrize(
    ("policy", "available"),
    [
        ("", []),
        ("version_policy { all { } }", []),
        ("version_policy { latest { } }", [1, 2]),
        ("version_policy { specific { versions: 7 } }", [1]),
        ("version_policy { specific { } }", [1]),
    ],
)
def test_nothing_to_serve_is_an_error(policy: str, available: list[int]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        select_versions(config(policy), available)
    assert caught.value.message == "at least one version must be available under the version policy of model 'm'"
