import os
from collections.abc import Callable
from pathlib import Path

import pytest

from despina.deploy.blobs import Blobs
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.prepare import prepare_generation
from despina.errors import InvalidArgument


def _dangle(source: Path) -> None:
    (source / "broken").symlink_to("nowhere")


def _pipe(source: Path) -> None:
    os.mkfifo(source / "broken")


def _loop(source: Path) -> None:
    (source / "broken").symlink_to(".")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_dangle, "broken is a link to nowhere, which does not exist; remove the link or restore its target"),
        (_pipe, "broken is neither a file nor a folder; remove it"),
        (_loop, "broken is a link to a folder that contains it ({source}); remove the link"),
    ],
)
def test_source_directory_that_cannot_be_copied_is_refused_in_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    source = (tmp_path / "source").resolve()
    source.mkdir()
    (source / "score.py").write_text("")
    spoil(source)
    with pytest.raises(InvalidArgument) as raised:
        prepare_generation(tmp_path / "1", Blobs(tmp_path / "blobs"), [], InferenceSpec("score.py", source))
    assert raised.value.message == f"source directory {source}: {source}/" + reason.format(source=source)
    assert not (tmp_path / "1").exists()
