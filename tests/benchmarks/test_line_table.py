from benchmarks.latencies import Latencies
from benchmarks.line_table import table
from benchmarks.measurement import Load, Point, Round
from benchmarks.rounds import Series


def series(name: str, model: str, speeds: list[int], failure: str = "") -> Series:
    rounds = [Round(Load(speed, speed, 1.0, 0, 0.1, Latencies(p99=1e6 / speed)), 0.5, 0.02, 9.5) for speed in speeds]
    return Series(name, Point(model, "json", 16), tuple(rounds), failure)


def compared(ours: list[int], theirs: list[int]) -> list[str]:
    return table([series("b", "m", theirs), series("a", "m", ours)], ["a"], ["b", "a"])


def test_a_line_has_the_ratios_and_the_numbers_of_both() -> None:
    lines = compared([2000, 2200], [1000, 1000])
    assert "| request | form | load | requests/s against b | p99 against b | CPU against b | requests/s |" in lines[-3]
    assert "| m | json | 16 | 2.1 more | 0.477 shorter | 0.477 less | 2,100 / 1,000 | 0.477 / 1 |" in lines[-1]
    assert lines[-1].endswith("| 0 / 0 | 9.5 / 9.5 | 0.02 / 0.02 |")


def test_what_is_lost_is_said_in_the_same_words_as_what_is_won() -> None:
    lines = compared([1000, 900], [2000, 2000])
    assert "| 0.475 fewer | 2.11 longer | 2.11 more |" in lines[-1]
    assert "- requests/s against b: more in 0, fewer in 1, even in 0 lines" in lines


def test_rounds_that_disagree_decide_nothing() -> None:
    lines = compared([1100, 1000, 900], [1000, 1000, 1000])
    assert "| 1 even | 1 even | 1 even |" in lines[-1]
    assert "- requests/s against b: more in 0, fewer in 0, even in 1 lines" in lines


def test_what_was_not_measured_stands_below_with_the_reason() -> None:
    lines = table([series("b", "m", [], "gone\nfor good"), series("a", "m", [2000])], ["a"], ["a", "b"])
    assert "| m | json | 16 | - | - | - | 2,000 / - | 0.5 / - |" in lines[-3]
    assert lines[-2:] == ["", "- m json x16, b, not measured: gone for good"]


def test_a_server_without_another_has_numbers_and_no_ratios() -> None:
    lines = table([series("a", "m", [2000])], ["a"], ["a"])
    assert len(lines) == 3
    assert lines[2].startswith("| m | json | 16 | 2,000 | 0.5 |")
