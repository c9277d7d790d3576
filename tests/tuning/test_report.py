from despina.tuning.choose import Choice
from despina.tuning.curve import Line
from despina.tuning.measure import Arrangement, Measured, Point, Timing
from despina.tuning.report import choice_text, curve_table, doubts, lines_text

ONE, TWO = Arrangement(2, 1), Arrangement(1, 2)


def timing(at: Arrangement, rows: int, seconds: float, spread: float | None = 0.0) -> Timing:
    return Timing(Point(at, rows), seconds, seconds, spread, 3)


def test_bars_follow_throughput_and_what_breaks_the_slo_is_marked() -> None:
    lines = curve_table([timing(ONE, 1, 0.002), timing(ONE, 4, 0.004), timing(TWO, 4, 0.02, None)], 0.03).splitlines()
    *lines, legend = lines
    assert [line.count("#") for line in lines] == [0, 12, 24, 10]
    assert [line.endswith("!") for line in lines] == [False, False, False, True]
    assert legend.startswith("! is more than 30 ms")
    assert lines[2].split()[:7] == ["2", "1", "4", "4.000", "4.000", "0%", "1000"]
    assert lines[3].split()[5] == "-"


def test_lines_are_told_in_milliseconds() -> None:
    text = lines_text({ONE: Line(0.003, 0.001, 0.05), Arrangement(0, 2): Line(0.0, 0.002, 0.0)})
    assert text.splitlines() == [
        "time(1 instance x 2 threads) = 3.000 ms + 1.0000 ms x rows  (off by up to 5%)",
        "time(2 instances) = 0.000 ms + 2.0000 ms x rows  (off by up to 0%)",
    ]


def test_the_choice_says_whether_it_keeps_the_slo() -> None:
    assert "within 25 ms" in choice_text(Choice(ONE, 8, 300, 1000.0, 0.02, True), 0.025)
    assert "NOT within 25 ms" in choice_text(Choice(ONE, 1, 0, 1000.0, 0.03, False), 0.025)


def test_a_quiet_complete_measurement_leaves_no_doubt() -> None:
    assert doubts(Measured((timing(ONE, 1, 0.01),))) == []


def test_noise_gaps_and_short_batches_are_told() -> None:
    timings = (timing(ONE, 1, 0.00001, 0.4), timing(ONE, 2, 0.01, None), timing(ONE, 3, 0.01, 0.0))
    left = {Point(ONE, 4): "no time left", Point(ONE, 8): "no time left"}
    told = doubts(Measured(timings, left))
    assert told[0] == "left out, no time left: 1 instance x 2 threads with batches of 4, 8"
    assert told[1].startswith("1 of 3 points were measured once only")
    assert "rounds differ by 40%" in told[2]
    assert "the front end will be the limit" in told[3]


def test_where_the_fewest_cores_win_that_is_told() -> None:
    (told,) = doubts(Measured((timing(ONE, 64, 0.001),)))
    assert told.startswith("from 50000 rows/s on the fewest cores that compute so many win")
    assert "Where requests have many rows, or with --http-workers, look for the most rows/s yourself" in told
