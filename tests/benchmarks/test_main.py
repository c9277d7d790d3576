import resource

import pytest
from benchmarks import __main__ as module
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


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["closed", "--model=nosuch"], "'nosuch' is not one of 'mlp'"),
        (["closed", "--connections=0"], "'0': expected whole numbers above 0, separated by commas"),
        (["closed", "--connections=1,x"], "'1,x': expected whole numbers above 0, separated by commas"),
        (["open", "--rates=0"], "'0': expected whole numbers above 0"),
        (["closed", "--rounds=0"], "0 is not in the range x>=1"),
        (["closed", "--seconds=0"], "0.0 is not in the range x>=0.01"),
        (["closed", "--seconds=nan"], "nan is not a finite number"),
        (["closed", "--seconds=inf"], "inf is not a finite number"),
        (["compute", "--models=resnet50,nosuch"], "nosuch: not among mlp"),
        (["closed", "--save=closed-2.51"], "'closed-2.51': expected a name without dots and slashes"),
        (["scenarios", "--only=nosuch"], "no scenario is called so: FP32 x 1, "),
        (["sweep", "delay", "--kind=grpc"], "'grpc' is not one of 'both', 'binary', 'json'"),
        (["overload", "--factor=0"], "0.0 is not in the range"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(words: list[str], text: str) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize(
    ("results", "text"),
    [("nosuch", "nosuch.json: No such file or directory"), ("goodput", "goodput.json holds no run that this version")],
)
def test_results_that_cannot_be_read_are_named(results: str, text: str) -> None:
    result = CliRunner().invoke(main, ["readme", f"--results={results}"])
    assert result.exit_code == 1
    assert text in result.output


def test_more_connections_than_the_usual_1024_files_are_allowed() -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert CliRunner().invoke(main, ["render", "--help"]).exit_code == 0
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def test_all_goes_on_where_one_table_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "PLAN", (("closed", "--rounds=0"), ("render", __file__ + ".json"), ("render", "--help"))
    )
    result = CliRunner().invoke(main, ["all"])
    assert result.exit_code == 1
    assert "Write Markdown and plots of results again" in result.output
    assert f"not measured, for the reasons above: closed --rounds=0; render {__file__}.json" in result.output


def test_an_unknown_peer_is_named_before_anything_starts() -> None:
    result = CliRunner().invoke(main, ["closed", "--peers=mosec,nobody"])
    assert result.exit_code == 2
    assert "nobody: not among tritonserver" in result.output


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("closed", {"kind", "flag"}),
        ("payloads", {"flag"}),
        ("scenarios", {"kind", "flag"}),
        ("compute", {"flag"}),
        ("perf-analyzer", {"flag"}),
        ("deployments", set()),
    ],
)
def test_an_option_is_offered_where_it_changes_what_is_measured(command: str, options: set[str]) -> None:
    assert {option.name for option in main.commands[command].params} & {"kind", "flag"} == options
