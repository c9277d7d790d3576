from benchmarks.gpu import GpuUse, read_samples


def test_utilisation_is_a_mean_and_memory_a_maximum() -> None:
    assert read_samples("90, 1000\n100, 3000\n95, 2000\n9") == GpuUse(95.0, 3000.0)


def test_what_is_no_sample_is_left_out() -> None:
    assert read_samples("[N/A], 5\n") is None
    assert read_samples("7, [N/A]\n") is None
    assert read_samples("") is None
