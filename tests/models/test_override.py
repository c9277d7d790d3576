import pytest

from despina.errors import InvalidArgument
from despina.models.override import Override, read_override, write_files


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, None),
        ({"config": "{}"}, Override("{}", None)),
        ({"config": "{}", "file:1/m": b"x"}, Override("{}", {"1/m": b"x"})),
        ({"file:1/m": b"x"}, Override(None, {"1/m": b"x"})),
    ],
)
def test_parameters_become_configuration_and_files(parameters, expected):
    assert read_override(parameters) == expected


def test_files_are_laid_out_below_the_directory(tmp_path):
    write_files(tmp_path, {"1/model.onnx": b"a", "labels.txt": b"b", "/2/model.onnx": b"c"})
    assert (tmp_path / "1" / "model.onnx").read_bytes() == b"a"
    assert (tmp_path / "labels.txt").read_bytes() == b"b"
    assert (tmp_path / "2" / "model.onnx").read_bytes() == b"c"


@pytest.mark.parametrize("path", ["../evil", "1/../../evil", "/../evil", ".", "link/evil"])
def test_a_path_that_leaves_the_directory_is_refused(tmp_path, path):
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    with pytest.raises(InvalidArgument, match="must stay within model directory"):
        write_files(inside, {path: b"x"})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize(
    ("path", "reason"), [("1/" + "A" * 256, "File name too long"), ("1/a\0b", "null"), ("1/", "a directory")]
)
def test_a_path_no_file_can_have_is_refused(tmp_path, path, reason):
    with pytest.raises(InvalidArgument, match=f"can not be written: .*{reason}"):
        write_files(tmp_path, {path: b"x"})
