from pathlib import Path

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.errors import Internal, Unsupported
from despina.repository.labels import read_labels


def config(filename: str) -> ModelConfig:
    text = f'name: "m" output {{ name: "y" label_filename: "{filename}" }} output {{ name: "z" }}'
    return parse_text(text)


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"", []),
        (b"cat\ndog\n", ["cat", "dog"]),
        (b"cat\ndog", ["cat", "dog"]),
        (b"cat\n\ndog\n", ["cat", "", "dog"]),
        (b"cat\r\ndog\r\n", ["cat\r", "dog\r"]),
        (b"\n", [""]),
        ("été\u2028\x0c\n".encode(), ["été\u2028\x0c"]),
        (b"\xff\n", ["\udcff"]),
    ],
)
def test_one_label_per_line(tmp_path: Path, content: bytes, labels: list[str]) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert read_labels(tmp_path, config("labels.txt")) == {"y": labels}


def test_outputs_without_a_file_have_no_labels(tmp_path: Path) -> None:
    assert read_labels(tmp_path, config("")) == {}


def test_an_output_has_one_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n")
    twice = config("labels.txt")
    twice.output.append(twice.output[0])
    with pytest.raises(Internal, match="multiple label files for 'y'"):
        read_labels(tmp_path, twice)


def test_path_may_lead_through_the_directory_and_over_links(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "elsewhere.txt").write_text("cat\n")
    (tmp_path / "m" / "labels.txt").symlink_to(tmp_path / "elsewhere.txt")
    assert read_labels(tmp_path / "m", config("1/../labels.txt")) == {"y": ["cat"]}


@pytest.mark.parametrize("filename", ["../labels.txt", "1/../../labels.txt", "/etc/hostname", ".."])
def test_path_must_stay_in_the_model_directory(tmp_path: Path, filename: str) -> None:
    (tmp_path / "labels.txt").touch()
    (tmp_path / "m").mkdir()
    with pytest.raises(Unsupported) as caught:
        read_labels(tmp_path / "m", config(filename))
    assert caught.value.message == (
        f"label file path '{filename}' for output 'y' in model 'm' is outside model directory"
    )


def test_missing_file_is_internal(tmp_path: Path) -> None:
    with pytest.raises(Internal) as caught:
        read_labels(tmp_path, config("absent.txt"))
    assert caught.value.message == (
        f"failed to open text file for read {tmp_path}/absent.txt: No such file or directory"
    )
