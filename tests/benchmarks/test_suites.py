import pytest
from benchmarks.places import RESULTS
from benchmarks.record import read
from benchmarks.suites import SWEPT


@pytest.mark.parametrize("what", SWEPT)
def test_who_takes_part_in_a_sweep_is_named_by_its_setting(what: str) -> None:
    field = {"delay": "delay_us", "batch": "max_batch_size"}.get(what, what)
    for name, batching in SWEPT[what].items():
        value = getattr(batching, field)
        assert name.removesuffix(" us") == f"{what} {'default' if value is None else value}"


@pytest.mark.parametrize("what", SWEPT)
def test_committed_sweeps_are_those_that_would_run(what: str) -> None:
    about = read(RESULTS / f"sweep-{what}.json").about
    assert list(about) == list(SWEPT[what])
    assert all(str(batching) in about[name] for name, batching in SWEPT[what].items())
