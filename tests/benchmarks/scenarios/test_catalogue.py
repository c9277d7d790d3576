import json
from collections import Counter

import pytest
from benchmarks.measurement import KINDS
from benchmarks.scenarios.catalogue import SCENARIOS, chosen
from benchmarks.scenarios.region import SIZE
from benchmarks.scenarios.scenario import Infer, Scenario
from benchmarks.scenarios.served import SERVED


def test_every_scenario_can_be_told_from_the_others() -> None:
    assert max(Counter((each.name, each.kind) for each in SCENARIOS).values()) == 1


def test_every_model_is_asked_and_is_there() -> None:
    asked = {each.model for scenario in SCENARIOS for each in scenario.asked if isinstance(each, Infer)}
    assert asked == set(SERVED)


def of_name(name: str) -> Scenario:
    (found,) = (each for each in SCENARIOS if each.name == name)
    return found


@pytest.mark.parametrize(
    ("name", "count"), [("ids", 1024), ("64 widths", 64), ("7 models", 7), ("sequences, direct", 1024)]
)
def test_what_should_differ_differs(name: str, count: int) -> None:
    assert len({exchange.request for exchange in of_name(name).exchanges()}) == count


def test_only_some_are_chosen_by_words_and_forms() -> None:
    assert chosen((), KINDS) == list(SCENARIOS)
    assert {each.name for each in chosen(("GZIP",), KINDS)} == {"gzip x 4,096", "gzip wanted x 256"}
    assert {each.kind for each in chosen((), ("json",))} == {"json"}
    assert chosen(("nosuch",), KINDS) == []


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if "in shared memory" in each.name], ids=lambda each: each.name
)
def test_places_in_shared_memory_fit_and_are_used_once(scenario: Scenario) -> None:
    end = 0
    for exchange in scenario.exchanges():
        for name, begin in exchange.shared.items():
            assert begin == end
            end += {**exchange.inputs, **exchange.outputs}[name].nbytes
    assert 0 < end <= SIZE


def test_a_sequence_begins_and_ends_with_its_request() -> None:
    request = of_name("sequences, oldest").exchanges()[7].request
    _head, _end, body = request.partition(b"\r\n\r\n")
    told = json.JSONDecoder().raw_decode(body.decode("latin-1"))[0]
    assert told["parameters"] == {"sequence_id": 8, "sequence_start": True, "sequence_end": True}
