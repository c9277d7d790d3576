"""Starting a server in this process, as far as it gets."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from despina.server import serve, served_settings
from despina.settings import Settings

REPOSITORY = Path(__file__).parent.parent / "model_repository"


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "missing" / "log"
    assert asyncio.run(serve(Settings(model_repository=(REPOSITORY,), log_file=str(log)))) == 1
    assert capsys.readouterr().err == f"error: {log}: No such file or directory\n"


@pytest.mark.parametrize(
    ("path", "left"), [(REPOSITORY, "mine"), (REPOSITORY / "digits", None), (REPOSITORY / "simple/1/model.onnx", None)]
)
def test_a_name_is_for_a_model_that_is_not_in_a_repository(path: Path, left: str | None) -> None:
    with ExitStack() as opened:
        settings = served_settings(Settings(model_repository=(path,), model_name="mine"), opened)
        assert settings.model_name == left
        assert settings.kserve is (left is None)
        if left is None:
            assert [each.name for each in settings.model_repository[0].iterdir()] == ["mine"]
