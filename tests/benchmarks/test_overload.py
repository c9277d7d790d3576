from dataclasses import asdict

from benchmarks.overload import Phase, page


def test_the_page_says_what_was_measured_and_how() -> None:
    taken = {
        "phases": [asdict(Phase("closed loop", 100.0, 99.0, 1.0, 12.34, 55.0))],
        "goodput_under_overload": 0.99,
        "recovery_ms": 7.0,
        "queue": 64,
        "longest_wait_ms": 50.0,
        "options": {"seconds of overload": 60.0, "flags": "--x"},
        "machine": {"cpu": "c"},
        "versions": {"numpy": "2"},
    }
    text = page(taken)
    assert "| closed loop | 100 | 99 | 1 | 12.3 | 55 |" in text
    assert "- cpu: c\n- numpy: 2\n- seconds of overload: 60.0\n- flags: --x\n" in text
