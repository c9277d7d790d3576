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


@pytest.mark.parametrize("name", ["deployment.yml", "deployment.json", "deployment"])
def test_yaml_is_read_where_pyyaml_is_installed(tmp_path: Path, name: str) -> None:
    pytest.importorskip("yaml")
    path = write(tmp_path, "computeType: local\nport: 6789\n", name)
    assert read_config_file(path).content == {"computeType": "local", "port": 6789}


@pytest.fixture
def no_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.deploy.config_file._yaml_installed", lambda: False)


@pytest.mark.parametrize("name", ["deployment.yml", "deployment"])
def test_yaml_needs_pyyaml(tmp_path: Path, no_yaml: None, name: str) -> None:
    with pytest.raises(Unsupported, match="write it as JSON, or install pyyaml"):
        read_config_file(write(tmp_path, "computeType: local\n", name))


def test_json_file_that_is_not_json_is_no_reason_to_install_something(tmp_path: Path, no_yaml: None) -> None:
    with pytest.raises(InvalidArgument, match=r"deploymentconfig\.json, line 1, column 1: Expecting value"):
        read_config_file(write(tmp_path, "<html>"))


@pytest.mark.parametrize("name", ["deploymentconfig.json", "deployment.yml"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty; expected a JSON object"),
        (b"\xef\xbb\xbf \n", r"is empty; expected a JSON object"),
        (b"{\xff}", r"is not text in UTF-8: invalid start byte at byte 1"),
    ],
)
def test_empty_file_and_garbage_are_called_that(tmp_path: Path, content: bytes, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidArgument, match=message):
        read_config_file(tmp_path / name)


def test_yaml_that_cannot_be_parsed_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    for text in ("a: b: c", "\0", "%x", "*"):
        with pytest.raises(InvalidArgument) as caught:
            read_config_file(write(tmp_path, text))
        assert "\n" not in caught.value.message
