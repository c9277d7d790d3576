import importlib.util
from pathlib import Path

import pytest

from despina.deploy.config_file import read_config_file
from despina.errors import InvalidArgument, NotFound, Unsupported


def write(tmp_path: Path, text: str, name: str = "deploymentconfig.json") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_json_is_read_without_remarks(tmp_path: Path) -> None:
    file = read_config_file(write(tmp_path, '{"computeType": "local", "port": 6789}'))
    assert (file.content, file.warnings) == ({"computeType": "local", "port": 6789}, ())


def test_trailing_comma_is_accepted_and_its_place_named(tmp_path: Path) -> None:
    text = '{\n    "computeType": "local",\n    "port": 6789,\n}\n'
    file = read_config_file(write(tmp_path, text))
    assert file.content == {"computeType": "local", "port": 6789}
    (warning,) = file.warnings
    assert warning.endswith(
        "deploymentconfig.json, line 3, column 17: a comma before the closing bracket is not JSON; remove it"
    )


def test_commas_in_text_are_left_alone(tmp_path: Path) -> None:
    file = read_config_file(write(tmp_path, r'{"a": ",}", "b": "\",]", "c": [1, 2,],}'))
    assert file.content == {"a": ",}", "b": '",]', "c": [1, 2]}
    assert len(file.warnings) == 2


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: Expecting ',' delimiter"),
        ("{,}", "line 1, column 2"),
        ('{"a": 1,,}', "line 1, column 9"),
        ('{"a": [1,}', "line 1, column 10"),
        ('{"a": 1', "line 1, column 8"),
    ],
)
def test_other_mistakes_are_named_with_their_place(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(InvalidArgument, match=f"deploymentconfig.json, {where}"):
        read_config_file(write(tmp_path, text))


def test_what_is_no_object_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="expected an object with keys, got list"):
        read_config_file(write(tmp_path, "[1]"))
    with pytest.raises(NotFound, match="does not exist"):
        read_config_file(tmp_path / "none.json")


def test_yaml_needs_pyyaml(tmp_path: Path) -> None:
    path = write(tmp_path, "computeType: local\nport: 6789\n", "deployment.yml")
    if importlib.util.find_spec("yaml") is None:
        with pytest.raises(Unsupported, match="write it as JSON, or install pyyaml"):
            read_config_file(path)
    else:
        assert read_config_file(path).content == {"computeType": "local", "port": 6789}
