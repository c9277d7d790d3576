from dataclasses import replace
from pathlib import Path

import click
import pytest
from benchmarks import markdown
from benchmarks import publish as module
from benchmarks.places import RESULTS
from benchmarks.publish import BEGIN, END, README, between, kept, publish, readme_part, render, write_results
from benchmarks.record import NotARecord, is_record, read, to_json
from tests.benchmarks.test_record import a_record


def test_only_what_lies_between_the_markers_changes() -> None:
    text = f"# A\n{BEGIN}\nold\n{END}\nrest {END}\n"
    assert between(text, "new") == f"# A\n{BEGIN}\nnew\n{END}\nrest {END}\n"
    assert between(between(text, "new"), "new") == between(text, "new")


def test_tables_are_those_of_the_raw_data_and_can_be_made_of_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    publish(a_record(), "closed", "mine", ("other", "despina"))
    page = (tmp_path / "results" / "mine.md").read_text()
    assert "other against" in page
    assert "despina against" in page
    render([tmp_path / "results" / "mine.json"])
    assert (tmp_path / "results" / "mine.md").read_text() == page


@pytest.mark.parametrize(
    "file", [each for each in sorted(RESULTS.glob("*.json")) if is_record(each)], ids=lambda file: file.stem
)
def test_committed_tables_are_those_of_their_raw_data(file: Path) -> None:
    assert file.with_suffix(".md").read_text() == markdown.page(read(file)), "python -m benchmarks render"


def test_the_table_of_the_readme_is_that_of_the_committed_results() -> None:
    text = README.read_text()
    part = readme_part(read(RESULTS / "closed.json"), "benchmarks/results/closed.md")
    assert text == between(text, part), "python -m benchmarks readme"


def test_what_cannot_be_written_is_printed_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    (tmp_path / "mine.json").write_text("before")
    # As where the disk is full; a directory is in the way for root, too.
    (tmp_path / "mine.json.new").mkdir()
    with pytest.raises(click.ClickException, match="the results above could not be written"):
        publish(a_record(), "closed", "mine", ("despina",))
    assert "| 16 | despina | 2,000 |" in capsys.readouterr().out
    assert (tmp_path / "mine.json").read_text() == "before"


def test_a_table_of_its_own_that_cannot_be_written_is_printed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.md").write_text("before")
    (tmp_path / "mine.json.new").mkdir()
    with pytest.raises(click.ClickException, match="the results above could not be written"):
        write_results({"a": 1}, "# What took minutes", tmp_path / "mine")
    assert "# What took minutes" in capsys.readouterr().out
    assert (tmp_path / "mine.md").read_text() == "before"


def test_a_run_that_measured_nothing_replaces_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    (tmp_path / "mine.json").write_text("before")
    nothing = tuple(replace(each, rounds=(), failure="gone") for each in a_record().series)
    with pytest.raises(click.ClickException, match="nothing was measured"):
        publish(replace(a_record(), series=nothing), "closed", "mine", ("despina",))
    assert (tmp_path / "mine.json").read_text() == "before"


def test_a_run_that_is_interrupted_leaves_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "OUT", tmp_path)

    def run() -> None:
        with kept("many") as keep:
            keep(replace(a_record(), layout="lines"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    names = sorted(file.name for file in (tmp_path / "results").iterdir())
    assert [name.rpartition("-")[2] for name in names] == ["unfinished.json", "unfinished.md"]
    assert "what was measured until then is in" in capsys.readouterr().err


@pytest.mark.parametrize("measured", [True, False])
def test_a_run_that_is_finished_leaves_only_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: bool
) -> None:
    monkeypatch.setattr(module, "OUT", tmp_path)
    with kept("many") as keep:
        if measured:
            keep(a_record())
    assert not [*tmp_path.glob("results/*")]


def test_a_run_goes_on_where_what_it_has_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUT", tmp_path)
    (tmp_path / "results").write_text("in the way of the directory")
    with kept("many") as keep:
        keep(a_record())


def test_pages_lie_beside_their_data_whatever_the_file_is_called(tmp_path: Path) -> None:
    file = tmp_path / "closed-2.51.json"
    file.write_text(to_json(a_record()))
    render([file])
    assert (tmp_path / "closed-2.51.md").exists()


def test_pages_that_cannot_be_written_and_damaged_data_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    (tmp_path / "mine.json").write_text(to_json(a_record()))
    (tmp_path / "mine.md.new").mkdir()
    with pytest.raises(click.ClickException, match=r"what .*mine\.json holds could not be written"):
        render([])
    (tmp_path / "mine.json").write_text("<<<<<<< HEAD")
    with pytest.raises(NotARecord, match=r"mine\.json holds no run"):
        render([])


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}"])
def test_without_both_markers_nothing_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md has no lines"):
        between(text, "new")
