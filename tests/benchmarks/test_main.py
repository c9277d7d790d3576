import pytest
from benchmarks.__main__ import PLAN, main, with_command
from click.testing import CliRunner


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ([], ["closed"]),
        (["--quick"], ["closed", "--quick"]),
        (["sweep", "delay"], ["sweep", "delay"]),
        (["--help"], ["--help"]),
    ],
)
def test_closed_is_what_runs_when_no_command_is_named(given: list[str], run: list[str]) -> None:
    assert with_command(given) == run


@pytest.mark.parametrize("step", PLAN, ids=" ".join)
def test_every_step_of_all_is_a_command_that_exists(step: tuple[str, ...]) -> None:
    command, *arguments = step
    main.commands[command].make_context(command, list(arguments))


def test_an_unknown_peer_is_named_before_anything_starts() -> None:
    result = CliRunner().invoke(main, ["closed", "--peers=mosec,nobody"])
    assert result.exit_code == 2
    assert "nobody: not among tritonserver" in result.output
