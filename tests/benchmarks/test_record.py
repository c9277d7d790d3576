import math
from dataclasses import replace
from pathlib import Path

from benchmarks import markdown, record
from benchmarks.gpu import GpuUse
from benchmarks.latencies import Latencies
from benchmarks.measurement import Load, Point, Round
from benchmarks.rounds import Series


def a_record() -> record.Record:
    point = Point("mlp", "json", 16)
    load = Load(4000, 4016, 2.0, 0, 0.1, Latencies(1, 2, 3, 4, 5))
    fast = Round(load, 0.5, 0.25, 9.5, 7.5, {8: 500, 1: 3}, first_cpu_s=0.1004)
    slow = Round(Load(1000, 1000, 2.0, 0, 0.0, Latencies()), 0.5, 0.0, 9.5)
    series = (
        Series("despina", point, (fast,)),
        Series("other", point, (slow,)),
        Series("third", point, failure="row 3 got\nanother | answer"),
    )
    facts = {"cpu": "c"}, {"numpy": "2"}, {"rounds": 1}, {"despina": "1"}, {"x": "no gcc"}
    return record.Record("t", *facts, series, against=("despina",))


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    told = a_record()
    record.write(told, tmp_path / "r.json")
    found = record.read(tmp_path / "r.json")
    assert found.series[0] == told.series[0]
    assert found.series[2] == told.series[2]
    assert math.isnan(found.series[1].rounds[0].load.latencies.p99)
    assert (found.skipped, found.about) == (told.skipped, told.about)
    assert record.is_record(tmp_path / "r.json")


def test_a_record_with_a_line_per_point_stays_one(tmp_path: Path) -> None:
    about = {"despina": "1", "other": "2"}
    told = replace(a_record(), layout="lines", about=about, series=a_record().series[:2])
    record.write(told, tmp_path / "r.json")
    page = markdown.page(record.read(tmp_path / "r.json"))
    assert page == markdown.page(told)
    assert "- requests/s against other: more in 1, fewer in 0, even in 0 lines" in page
    assert "| mlp | json | 16 | 4 more |" in page
    assert "## mlp, json" not in page


def test_other_results_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "goodput.json").write_text('{"target_ms": 100}')
    assert not record.is_record(tmp_path / "goodput.json")


def test_the_page_shows_winners_losers_and_what_failed() -> None:
    page = markdown.page(a_record())
    assert "| 16 | despina | 2,000 | 2,000 .. 2,000 | 0.001 | 0.003 | 0.125 | 0.025 |" in page
    assert "| 16 | other | 500 | 500 .. 500 |  |  | 0.5 |  | 0 |" in page
    assert "not measured: row 3 got another / answer" in page
    assert "| 16 | other | 4 |" in page
    assert "- x is missing: no gcc" in page
    assert "- others kept at most 0.25 cores busy during a round" in page


def test_requests_that_were_sent_again_stand_beside_the_errors() -> None:
    told = a_record()
    (fast,) = told.series[0].rounds
    dropped = replace(fast, load=replace(fast.load, errors=1, resent=2))
    page = markdown.page(replace(told, series=(replace(told.series[0], rounds=(dropped, dropped)),)))
    assert "| 2 (4 sent again) | 9.5 |" in page


def test_a_gpu_that_was_watched_has_columns_of_its_own() -> None:
    told = replace(a_record(), against=())
    (fast,) = told.series[0].rounds
    watched = tuple(replace(fast, gpu=GpuUse(busy, memory)) for busy, memory in ((80.0, 900.0), (90.0, 700.0)))
    page = markdown.page(replace(told, series=(replace(told.series[0], rounds=watched), told.series[1])))
    assert "| other cores | GPU busy | GPU memory MB |" in page
    assert "| 0.25 | 85 % | 900 |" in page
    assert "| 9.5 | 0.00 |  |  |" in page
    assert "GPU" not in markdown.page(told)


def test_the_page_can_be_made_from_the_file_alone(tmp_path: Path) -> None:
    record.write(a_record(), tmp_path / "r.json")
    assert markdown.page(record.read(tmp_path / "r.json")) == markdown.page(a_record())


def test_the_short_table_has_a_row_per_server_and_a_dash_where_nothing_was_measured() -> None:
    rounds = (Round(Load(4000, 4000, 2.0, 0, 0.1, Latencies()), 0.5, 0.0, 9.5),)
    measured = (
        ("a", Point("mlp", "binary", 1)),
        ("a", Point("mlp", "binary", 4)),
        ("a", Point("mlp", "json", 1)),
        ("b", Point("mlp", "json", 4)),
    )
    series = tuple(Series(name, point, rounds) for name, point in measured)
    told = record.Record("t", {}, {}, {}, {"a": "", "b": ""}, {}, series)
    assert markdown.short_table(told) == [
        "| server | binary, 1 / 4 connections | json, 1 / 4 connections | CPU s / 1,000 at 4 |",
        "| --- | --- | --- | --- |",
        "| a | 2.0k / 2.0k | 2.0k / - | 0.125 / - |",
        "| b | - / - | - / 2.0k | - / 0.125 |",
    ]
