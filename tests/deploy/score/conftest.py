import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.score_app import Start

from despina.deploy.score.app import ScoreApp
from despina.deploy.score.settings import ScoreSettings
from despina.deploy.score.worker import start_worker


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an application from a script's text; undoes what that leaves in the interpreter."""
    path, modules = sys.path[:], dict(sys.modules)
    started: list[ScoreApp] = []

    def start(text: str, **settings: Any) -> ScoreApp:
        (tmp_path / "score.py").write_text(text)
        app = start_worker(ScoreSettings(app_root=tmp_path, entry_script=tmp_path / "score.py", **settings))
        started.append(app)
        return app

    yield start
    for app in started:
        app.close()
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        if name.startswith(("azureml", "entry_module", "inference_schema")):
            del sys.modules[name]
