"""The examples as users run them: from a shell, against a home directory of their own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

SAID = """\
ready without a key: 401
ready with the primary key: 200
ready with the secondary key: 200
inferred: 2
score workers that answered: 2
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In an empty folder, with this interpreter's `despina` and `python` before all others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DESPINA_", "WORKER_"))}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["TMPDIR"] = str(folder)
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for spec in tmp_path.rglob("services/*/spec.json"):  # a failed example leaves its service
        run(spec.parents[2], "despina", "service", "delete", "-n", spec.parent.name)


def said(output: str) -> str:
    return "".join(f"{line}\n" for line in output.splitlines() if f"{line}\n" in SAID)


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="needs bash and curl")
def test_the_page_as_commands(folder: Path) -> None:
    done = run(folder, "bash", str(EXAMPLES / "triton_page.sh"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert said(done.stdout) == SAID
    assert "Error: model triton_model:1 not found; have my_triton_model:1\n" in done.stderr
    assert "score with the old key: 401\n" in done.stdout
    assert re.search(r"^port \d+ is free$", done.stdout, re.MULTILINE)
    assert list(folder.iterdir()) == []


def test_the_page_in_python(folder: Path) -> None:
    done = run(folder, sys.executable, str(EXAMPLES / "triton_page.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert said(done.stdout) == SAID
    assert "\n['two']\n" in done.stdout
    assert "ready with the old key: 401\nready with the new key: 200\ndeleted\n" in done.stdout
    assert list(folder.rglob("services/*")) == []


def test_only_the_import_lines_of_the_python_example_know_us() -> None:
    lines = (EXAMPLES / "triton_page.py").read_text().splitlines()
    assert [line for line in lines if "despina" in line] == [
        "from despina.deploy.sdk import AksWebservice, Environment, InferenceConfig, Model, Workspace"
    ]
