from benchmarks.goodput import Goodput, Outcome, page


def test_the_page_says_what_was_measured_and_how() -> None:
    outcome = Outcome("arm", 0.5, 100.0, 90.0, 95.0, 0.05, 12.3)
    taken = Goodput("m", 100.0, 200.0, {"cpu": "c"}, {"numpy": "2"}, {"rounds": 3, "flags": "--x"}, (outcome,))
    text = page(taken)
    assert "| 0.5 | 100 | 90 / 12 / 5% |" in text
    assert "- cpu: c\n- numpy: 2\n- rounds: 3\n- flags: --x\n" in text
