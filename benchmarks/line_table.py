"""A run with many points as one table: a line for each, won or lost in the same words."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.cells import errors_of, load_of, number, table_row
from benchmarks.measurement import Round
from benchmarks.rounds import Series
from benchmarks.summary import middle, points_of, ratios, summarise

COLUMNS = ("requests/s", "p99 ms", "CPU s / 1,000", "client CPU s / 1,000", "errors", "fixed work ms", "other cores")


class Words(NamedTuple):
    """For a ratio that is above 1 in every round, or below it."""

    above: str
    below: str


COMPARED = {"requests/s": Words("more", "fewer"), "p99": Words("longer", "shorter"), "CPU": Words("more", "less")}
UNDECIDED = "even"


def table(series: Sequence[Series], ours: Sequence[str], contenders: Iterable[str]) -> list[str]:
    """`ours`: the contender that is compared with all others, if any. Before the table stands how many lines say what,
    behind it what was not measured and why."""
    names = list(dict.fromkeys([*ours, *contenders]))
    others = names[1:] if ours else []
    heads = [f"{what} against {other}" for other in others for what in COMPARED]
    rows: list[str] = []
    counts: Mapping[str, Counter[str]] = {head: Counter() for head in heads}
    for point in points_of(series):
        found = {each.contender: each.rounds for each in series if each.point == point}
        compared = [cell for other in others for cell in _compared(found.get(names[0], ()), found.get(other, ()))]
        for head, cell in zip(heads, compared, strict=True):
            counts[head][cell.rpartition(" ")[2]] += 1
        rows.append(table_row([point.model, point.kind, load_of(point), *compared, *_numbers(found, names)]))
    return [
        *_legend(names, counts),
        table_row(["request", "form", "load", *heads, *COLUMNS]),
        table_row(["---"] * 2 + ["---:"] * (1 + len(heads) + len(COLUMNS))),
        *rows,
        *_failures(series),
    ]


def _compared(ours: Sequence[Round], theirs: Sequence[Round]) -> list[str]:
    """Medians of neighbouring rounds, each with a word that says whether all rounds agree."""
    if not ours or not theirs:
        return ["-"] * len(COMPARED)
    found = ratios(ours, theirs)
    columns = ([each.per_second for each in found], [each.p99 for each in found], [each.server_cpu for each in found])
    return [
        f"{number(middle(values))} {_word(values, words)}"
        for values, words in zip(columns, COMPARED.values(), strict=True)
    ]


def _word(values: Sequence[float], words: Words) -> str:
    if all(value > 1 for value in values):
        return words.above
    return words.below if all(value < 1 for value in values) else UNDECIDED


def _legend(names: Sequence[str], counts: Mapping[str, Counter[str]]) -> list[str]:
    if len(names) < 2:
        return []
    lines = [f"- side by side: {' / '.join(names)}"]
    for head, found in counts.items():
        words = [*COMPARED[head.partition(" against ")[0]], UNDECIDED]
        lines.append(f"- {head}: {', '.join(f'{word} in {found[word]}' for word in words)} lines")
    return [*lines, f"- {UNDECIDED}: not the same in all rounds", ""]


def _numbers(found: Mapping[str, Sequence[Round]], names: Sequence[str]) -> list[str]:
    """A cell for each of COLUMNS, with the numbers of all contenders."""
    cells = [_cells(found.get(name, ())) for name in names]
    return [" / ".join(column) for column in zip(*cells, strict=True)]


def _cells(rounds: Sequence[Round]) -> list[str]:
    if not rounds:
        return ["-"] * len(COLUMNS)
    summary = summarise(rounds)
    return [
        f"{summary.per_second:,.0f}",
        number(summary.p99_us / 1000),
        number(summary.server_cpu),
        number(summary.client_cpu),
        errors_of(summary),
        f"{summary.calibration_ms:.1f}",
        f"{summary.other_cores:.2f}",
    ]


def _failures(series: Sequence[Series]) -> list[str]:
    lines = [
        f"- {each.point}, {each.contender}, not measured: {' '.join(each.failure.split())[:400]}"
        for each in series
        if not each.rounds
    ]
    return ["", *lines] if lines else []
