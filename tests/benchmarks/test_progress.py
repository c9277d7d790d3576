from benchmarks.progress import bar


def test_the_bar_says_how_far_and_how_long() -> None:
    assert bar(1, 4, 30.0, "mlp") == "[#######.......................] 1/4, 1:30 left, mlp"


def test_before_the_first_step_nothing_is_known_of_the_time() -> None:
    assert bar(0, 4, 0.0, "mlp") == "[..............................] 0/4, mlp"
