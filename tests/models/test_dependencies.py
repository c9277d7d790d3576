import pytest

from despina.config.proto import ModelConfig
from despina.models.dependencies import find_cycle, left_over, needed_by, steps_of, users_of

CHAIN = {"outer": ("inner", "a"), "inner": ("a", "b"), "other": ("b",)}


def test_steps_are_listed_once_in_order():
    config = ModelConfig()
    for name in ("b", "a", "b"):
        config.ensemble_scheduling.step.add(model_name=name)
    assert steps_of(config) == ("b", "a")
    assert steps_of(ModelConfig()) == ()


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ({"a": ("b",)}, None),
        ({"a": ("b", "c"), "b": ("c",)}, None),
        ({"a": ("a",)}, ["a", "a"]),
        ({"a": ("b",), "b": ("a",)}, ["a", "b", "a"]),
        ({"a": ("b",), "b": ("c",), "c": ("b",)}, ["b", "c", "b"]),
        ({"a": ("b",), "x": ("y",), "y": ("x",)}, None),
    ],
)
def test_a_cycle_is_found_from_where_one_starts(steps, cycle):
    assert find_cycle("a", steps) == cycle


def test_users_run_at_least_one_of_them():
    assert users_of(["a", "b"], CHAIN) == {"inner", "outer", "other"}
    assert users_of(["a", "outer"], CHAIN) == {"inner", "outer"}
    assert users_of(["outer"], CHAIN) == users_of([], CHAIN) == set()


def test_needed_models_are_found_through_other_ensembles():
    assert needed_by(["outer"], CHAIN) == {"inner", "a", "b"}
    assert needed_by(["a"], CHAIN) == set()


@pytest.mark.parametrize(
    ("explicit", "expected"),
    [
        (set(), ["inner", "a"]),  # b stays: "other" runs it
        ({"a"}, ["inner"]),
        ({"inner"}, []),
        ({"other", "b"}, ["inner", "a"]),
    ],
)
def test_unloading_takes_what_nobody_else_needs_ensembles_first(explicit, expected):
    assert left_over("outer", CHAIN, explicit) == expected
