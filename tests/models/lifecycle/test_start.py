import asyncio

import pytest
from tests.support.lifecycle import Bench, put, put_ensemble, ready

from despina.errors import InvalidArgument


@pytest.mark.parametrize(
    ("mode", "names", "expected"),
    [
        ("none", (), ["a", "b"]),
        ("explicit", (), []),
        ("explicit", ("b",), ["b"]),
        ("explicit", ("*",), ["a", "b"]),
    ],
)
async def test_the_mode_decides_what_is_loaded_at_start(tmp_path, mode, names, expected):
    put(tmp_path, "a")
    put(tmp_path, "b")
    bench = Bench(tmp_path, mode, load_model=names)
    assert not bench.models.is_ready(strict=True)
    report = await bench.models.start()
    assert report.succeeded
    assert [row.name for row in report.rows] == expected
    assert ready(bench.models) == expected
    assert bench.models.is_ready(strict=True)
    assert await bench.models.stop(5)


async def test_a_start_looks_for_the_steps_of_a_model_as_often_however_many_there_are(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("despina.models.candidate.steps_of", lambda config: looked.append(config) or ())

    async def looks(count):
        looked.clear()
        for number in range(count):
            put(tmp_path / str(count), f"m{number}")
        bench = Bench(tmp_path / str(count), "none")
        assert (await bench.models.start()).succeeded
        started = len(looked)
        await bench.models.stop(5)
        return started

    assert await looks(40) == 4 * await looks(10)


async def test_the_wildcard_stands_alone(tmp_path):
    with pytest.raises(InvalidArgument, match="must be the ONLY startup model"):
        await Bench(tmp_path, load_model=("*", "a")).models.start()


async def test_what_does_not_load_is_reported_and_the_rest_serves(tmp_path):
    put(tmp_path, "good")
    put(tmp_path, "bad")
    put(tmp_path, "unreadable", "nonsense")
    bench = Bench(tmp_path, "none")
    bench.broken = {("bad", 1)}
    report = await bench.models.start()
    assert not report.succeeded
    rows = [(row.name, row.version, row.state, row.model is not None) for row in report.rows]
    assert rows == [
        ("bad", 1, "UNAVAILABLE", False),
        ("good", 1, "READY", True),
        ("unreadable", None, "UNAVAILABLE", False),
    ]
    assert "failed to read text proto" in report.rows[2].reason
    assert not bench.models.is_ready(strict=True)
    assert bench.models.is_ready(strict=False)


async def test_a_model_whose_backend_exits_takes_nobody_along(tmp_path):
    put(tmp_path, "good")
    put(tmp_path, "bad")
    bench = Bench(tmp_path, "none")
    bench.broken, bench.failure = {("bad", 1)}, SystemExit(1)
    report = await bench.models.start()
    assert [(row.name, row.state, row.reason) for row in report.rows] == [
        ("bad", "UNAVAILABLE", "Internal: SystemExit(1)"),
        ("good", "READY", ""),
    ]


async def test_a_failed_load_is_retried_as_often_as_asked(tmp_path):
    put(tmp_path, "bad")
    bench = Bench(tmp_path, "none", model_load_retry_count=2)
    bench.broken = {("bad", 1)}
    await bench.models.start()
    assert bench.attempts == [("bad", 1)] * 3


async def test_a_name_in_two_repositories_belongs_to_nobody(tmp_path):
    for repository in ("one", "two"):
        put(tmp_path / repository, "m")
    put(tmp_path / "two", "n")
    bench = Bench(tmp_path, "none", model_repository=(tmp_path / "one", tmp_path / "two"))
    report = await bench.models.start()
    assert [name for name, _ in report.failures] == ["m"]
    assert await bench.models.index(ready_only=True) == [
        {"name": "m", "state": "UNAVAILABLE", "reason": "model appears in two or more repositories"},
        {"name": "n", "version": "1", "state": "READY"},
    ]


async def test_everything_loads_at_start_in_whatever_order(tmp_path):
    put_ensemble(tmp_path, "a_outer", "b_inner", "z")
    put_ensemble(tmp_path, "b_inner", "z")
    put(tmp_path, "z")
    bench = Bench(tmp_path, "none", model_load_thread_count=1)
    report = await asyncio.wait_for(bench.models.start(), 10)
    assert report.succeeded
    assert bench.attempts == [("z", 1), ("b_inner", 1), ("a_outer", 1)]
