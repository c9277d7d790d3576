"""Where results go: JSON, Markdown and plots, and the table of the README."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks import markdown, record
from benchmarks.places import HERE, OUT, RESULTS

README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
NOISY_CORES = 0.1


def publish(taken: record.Record, name: str, save: str, against: Sequence[str]) -> None:
    """Write and print a run; `save` is the name under which it is to be committed, empty for a trial."""
    target = target_of(f"{name}-{time.strftime('%Y%m%d-%H%M%S')}", save)
    # With the digits that are kept, so that the tables are those of the raw data.
    taken = record.from_json(record.to_json(replace(taken, against=tuple(against))))
    print(markdown.page(taken))
    if not any(each.rounds for each in taken.series):
        raise click.ClickException("nothing was measured, for the reasons above, and nothing is written")
    with _written("the results above"):
        record.write(taken, target.with_suffix(".json"))
        write_page(taken, target)
    disturbed = markdown.disturbance(taken)
    if disturbed > NOISY_CORES:
        print(f"Others kept up to {disturbed:.2f} cores busy: these numbers prove nothing.", file=sys.stderr)
    print(f"written to {target}.json and .md", file=sys.stderr)


@contextmanager
def kept(name: str) -> Iterator[Callable[[record.Record], None]]:
    """What writes a run that is still under way, as far as it can. Where the run ends early, what it had measured
    stays, and it is said where."""
    file = target_of(f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-unfinished", "").with_suffix(".json")

    def keep(taken: record.Record) -> None:
        with suppress(OSError):
            record.write(taken, file)

    try:
        yield keep
    except BaseException:
        if file.exists():
            with suppress(OSError):
                write_page(record.read(file), file)
            print(f"what was measured until then is in {file}", file=sys.stderr)
        raise
    with suppress(OSError):
        file.unlink()


@contextmanager
def _written(what: str) -> Iterator[None]:
    """Ends with one sentence where `what` cannot be written."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{what} could not be written: {error}") from None


def target_of(name: str, save: str) -> Path:
    """Where results go, without an ending. `save` as for `publish`; a trial is called `name`."""
    return RESULTS / save if save else OUT / "results" / name


def write_results(told: Mapping[str, Any], page: str, target: Path) -> None:
    """Write and print a table of its own, which is no run: JSON, and Markdown."""
    print(page)
    with _written("the results above"):
        record.write_whole(target.with_suffix(".json"), json.dumps(told, indent=1) + "\n")
        record.write_whole(target.with_suffix(".md"), page)
    print(f"written to {target}.json and .md", file=sys.stderr)


def write_page(taken: record.Record, target: Path) -> None:
    """Markdown, and the plots where matplotlib is installed (benchmarks/requirements.txt); none of a line per point.
    `target` is the path of one of them, or of the JSON."""
    record.write_whole(target.with_suffix(".md"), markdown.page(taken))
    if taken.layout == "lines":
        return
    try:
        from benchmarks.plots import plot
    except ModuleNotFoundError:
        print("no plots: pip install -r benchmarks/requirements.txt", file=sys.stderr)
    else:
        plot(taken, target.with_suffix(".png"))


def render(files: Sequence[Path]) -> None:
    """Markdown and plots from JSON; all committed records of runs when no file is named."""
    for file in files or [file for file in sorted(RESULTS.glob("*.json")) if record.is_record(file)]:
        with _written(f"what {file} holds"):
            write_page(record.read(file), file)
        print(file.with_suffix(".md"))


def write_readme(name: str) -> None:
    """Put the table of committed results between the markers of the README."""
    taken = record.read(RESULTS / f"{name}.json")
    text = between(README.read_text(), readme_part(taken, f"benchmarks/results/{name}.md"))
    with _written("the table"):
        record.write_whole(README, text)


def between(text: str, part: str) -> str:
    """`text` with `part` between its markers. Raises ValueError when it has none."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def readme_part(taken: record.Record, source: str) -> str:
    """The short table, and under it where and how it was measured."""
    machine, options = taken.machine, taken.options
    said = (
        f"Requests per second, medians of {options['rounds']} alternating rounds on {machine['cores']} cores of "
        f"{machine['cpu']}, client on the same cores, everything else in [{source}]({source})."
    )
    return "\n".join([*markdown.short_table(taken), "", said])
