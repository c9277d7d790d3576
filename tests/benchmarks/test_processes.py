import os

import pytest
from benchmarks.processes import TICK, MachineCpu, others, own_cpu, parent_and_cpu, read_machine_cpu, tree_cpu_s


def test_a_name_with_spaces_and_brackets_does_not_shift_the_fields() -> None:
    stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 200 30 4 20 0 5 0 1 2 3"
    parent, cpu = parent_and_cpu(stat)
    assert parent == 7
    assert cpu == pytest.approx(334 * TICK)
    assert own_cpu(stat) == pytest.approx(300 * TICK)


def test_idle_time_is_not_busy_and_stolen_time_is_told_apart() -> None:
    cpu = read_machine_cpu("cpu  10 1 5 9999 8888 2 3 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert cpu.busy == pytest.approx(21 * TICK)
    assert cpu.stolen == pytest.approx(7 * TICK)


def test_what_others_took_includes_stolen_time_and_is_never_negative() -> None:
    before, after = MachineCpu(10.0, 1.0), MachineCpu(13.0, 2.0)
    assert others(before, after, ours_s=2.0, seconds=2.0) == pytest.approx(1.0)
    assert others(before, after, ours_s=4.1, seconds=2.0) == 0.0


def test_a_tree_has_at_least_the_time_of_its_root() -> None:
    used = sum(os.times()[:2])
    assert tree_cpu_s(os.getpid()) >= used - 2 * TICK
