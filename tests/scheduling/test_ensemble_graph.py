import pytest

from despina.scheduling.ensemble_graph import EnsembleGraph, Step, make_plan


def step(model: str, inputs: str, outputs: str) -> Step:
    pairs = [tuple((f"{tensor}_of_{model}", tensor) for tensor in names.split()) for names in (inputs, outputs)]
    return Step(model, None, pairs[0], pairs[1])


FAN = EnsembleGraph(
    "e",
    ("left", "right", "out"),
    (
        step("split", "in", "p m"),
        step("left", "p", "left"),
        step("right", "m", "right extra"),
        step("join", "left right", "out"),
        step("extra", "extra", "unread"),
    ),
)


@pytest.mark.parametrize(
    ("outputs", "models"),
    [
        (("out",), ["split", "left", "right", "join"]),
        (("left",), ["split", "left"]),
        (("right", "left"), ["split", "left", "right"]),
        (FAN.outputs, ["split", "left", "right", "join"]),
    ],
)
def test_only_the_steps_that_lead_to_the_wanted_outputs_run(outputs: tuple[str, ...], models: list[str]) -> None:
    assert [planned.step.model for planned in make_plan(FAN, outputs).steps] == models


def test_a_step_is_asked_only_for_the_outputs_that_are_read() -> None:
    plan = make_plan(FAN, ("left",))
    assert plan.steps[0].outputs == (("p_of_split", "p"),)


def test_a_step_waits_for_every_tensor_that_another_step_makes() -> None:
    plan = make_plan(FAN, ("out",))
    assert [planned.waits_for for planned in plan.steps] == [0, 1, 1, 2]
    assert {tensor: [reader.step.model for reader in readers] for tensor, readers in plan.readers.items()} == {
        "p": ["left"],
        "m": ["right"],
        "left": ["join"],
        "right": ["join"],
    }


def test_a_tensor_that_is_read_twice_by_a_step_is_waited_for_once() -> None:
    both = Step("b", None, (("x", "t"), ("y", "t")), (("z", "out"),))
    plan = make_plan(EnsembleGraph("e", ("out",), (step("a", "in", "t"), both)), ("out",))
    assert plan.steps[1].waits_for == 1
    assert plan.readers["t"] == (plan.steps[1],)
