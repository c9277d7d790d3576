import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
from click.testing import CliRunner

from despina.cli.flags import FLAGS
from despina.cli.main import cli
from despina.settings import Settings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings that servers were started with; their exit status is 7."""
    seen: list[Settings] = []
    server = ModuleType("despina.run")

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 7

    server.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "despina.run", server)
    return seen


def invoke(*words: str) -> SimpleNamespace:
    result = CliRunner().invoke(cli, words, prog_name="despina")
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


@pytest.mark.parametrize("words", [("serve", "--model-repository", "m"), ("--model-repository=m",)])
def test_serve_is_the_default_command_and_gives_its_exit_status(
    started: list[Settings], words: tuple[str, ...]
) -> None:
    assert invoke(*words).code == 7
    assert [str(path) for path in started[0].model_repository] == ["m"]


def test_warnings_go_to_stderr_before_the_start(started: list[Settings]) -> None:
    result = invoke("--model-repository=m", "--grpc-infer-thread-count=3")
    assert result.err == "Warning: '--grpc-infer-thread-count' has no effect: one event loop reads all connections\n"
    assert len(started) == 1


def test_a_wrong_flag_exits_with_1_and_starts_nothing(started: list[Settings]) -> None:
    result = invoke("serve", "--model-repository=m", "--log-info=maybe")
    assert (result.code, started) == (1, [])
    assert result.err == (
        'Bad option: "--log-info".\ninvalid value for bool option: maybe\n'
        "Usage: despina serve [flags]; `despina serve --help` lists them.\n"
    )


def test_a_command_that_is_too_long_for_a_path_is_unknown() -> None:
    result = invoke(300 * "a")
    assert result.code == 2
    assert "No such command" in result.err


def test_help_lists_every_flag_with_its_default() -> None:
    result = invoke("serve", "--help")
    assert (result.code, invoke("-h").out) == (0, result.out)
    lines = result.out.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  --")} == {f"--{flag.name}" for flag in FLAGS}
    assert lines[lines.index("  --http-port <integer>") + 1].endswith("Default: 8000.")
    assert lines[lines.index("  --exit-on-error <boolean>") + 1].endswith("Default: true.")
    assert lines[lines.index("  --load-model <string>") + 1].endswith("* for all; repeatable.")
    assert lines[lines.index("  --grpc-port <integer>") + 1].endswith("Default: 8001.")
    assert lines[lines.index("  --grpc-address <string>") + 1].endswith("Default: as http-address.")
    assert (
        lines[lines.index("  --grpc-infer-thread-count <integer>") + 1].strip()
        == "Ignored: one event loop reads all connections."
    )
    assert lines[lines.index("  --allow-sagemaker <boolean>") + 1].strip().startswith("Not offered: ")
    assert max(map(len, lines)) <= 120


def test_every_flag_has_its_line_in_the_help() -> None:
    assert [flag.name for flag in FLAGS if not (flag.text or flag.inert or flag.refused)] == []


def test_a_command_that_does_not_exist_is_named() -> None:
    result = invoke("nosuch")
    assert (result.code, result.err.splitlines()[-1]) == (2, "Error: No such command 'nosuch'.")


def test_the_module_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "despina", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.startswith("despina, version ")
