from typing import Any

import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import NotFound
from despina.models.ensemble_steps import EnsembleSteps, ensemble_graph
from despina.scheduling.ensemble_graph import EnsembleGraph, Step

CONFIG = text_format.Parse(
    """
    name: "e" platform: "ensemble" max_batch_size: 4
    output { name: "out" dims: [ 4 ] } output { name: "also" dims: [ 4 ] reshape { shape: [ 2, 2 ] } }
    ensemble_scheduling {
      max_inflight_requests: 3
      step { model_name: "a" model_version: -1 input_map { key: "X" value: "in" } output_map { key: "Y" value: "t" } }
      step {
        model_name: "b" model_version: 2
        input_map { key: "Q" value: "in" } input_map { key: "P" value: "t" }
        output_map { key: "Z" value: "out" } output_map { key: "W" value: "also" }
      }
    }
    """,
    ModelConfig(),
)
GRAPH = EnsembleGraph(
    "e",
    ("out", "also"),
    (
        Step("a", None, (("X", "in"),), (("Y", "t"),)),
        Step("b", 2, (("P", "t"), ("Q", "in")), (("W", "also"), ("Z", "out"))),
    ),
    batches=True,
    max_inflight=3,
    ranks={"also": 2, "out": 1},
)


def test_the_graph_of_a_configuration() -> None:
    assert ensemble_graph(CONFIG) == GRAPH


def test_an_ensemble_may_have_no_batch_dimension_and_no_bound() -> None:
    config = ModelConfig()
    config.CopyFrom(CONFIG)
    config.max_batch_size = 0
    config.ensemble_scheduling.ClearField("max_inflight_requests")
    graph = ensemble_graph(config)
    assert (graph.batches, graph.max_inflight) == (False, 0)


class Served:
    """A model, with labels."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.labels = {"Z": ["cat", "dog"], "Y": ["inner"]}


def test_outputs_have_the_labels_of_the_steps_that_make_them() -> None:
    asked: list[tuple[str, int | None]] = []

    def find_model(name: str, version: int | None) -> Any:
        asked.append((name, version))
        return Served(name)

    assert EnsembleSteps(GRAPH, find_model).labels() == {"out": ["cat", "dog"]}
    assert asked == [("b", 2)]


def test_a_step_that_is_not_there_has_no_labels_and_makes_no_two_answers_alike() -> None:
    def find_model(name: str, version: int | None) -> Any:
        if name == "b":
            raise NotFound("gone")
        return Served(name)

    steps = EnsembleSteps(GRAPH, find_model)
    assert steps.labels() == {}
    assert steps.origin() != steps.origin()


def test_answers_are_made_by_the_models_that_run_the_steps_now() -> None:
    loaded = {"a": Served("a"), "b": Served("b")}

    def find_model(name: str, version: int | None) -> Any:
        return loaded[name]

    steps = EnsembleSteps(GRAPH, find_model)
    before = steps.origin()
    assert steps.origin() == before
    loaded["b"] = Served("another b")
    assert steps.origin() != before


@pytest.mark.parametrize("config", [ModelConfig(name="m"), CONFIG])
def test_without_an_ensemble_or_other_models_there_are_no_steps(config: ModelConfig) -> None:
    def find_model(name: str, version: int | None) -> Any:
        raise NotFound("gone")

    assert EnsembleSteps.of(config, None) is None
    assert (EnsembleSteps.of(config, find_model) is None) == (config is not CONFIG)
