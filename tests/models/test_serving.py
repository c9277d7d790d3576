from types import SimpleNamespace

import pytest

from despina.errors import InvalidArgument, NotFound, Unavailable
from despina.models.serving import ServingTable
from despina.models.states import ModelState, VersionState


def table():
    def ready(version):
        return VersionState(version, "READY", model=SimpleNamespace(name="m", version=version))

    states = {
        "m": ModelState(
            "m", {10: ready(10), 9: ready(9), 11: VersionState(11, "UNAVAILABLE", "unloaded")}, listed=True
        ),
        "gone": ModelState("gone", {1: VersionState(1, "UNAVAILABLE", "unloaded")}, listed=True),
        "empty": ModelState("empty", listed=True),
        "unlisted": ModelState("unlisted"),
    }
    result = ServingTable(states)
    for name in states:
        result.refresh(name)
    return states, result


def test_the_latest_is_the_highest_ready_number():
    _, serving = table()
    assert serving.get("m", None).version == 10
    assert serving.get("m", 9).version == 9
    assert serving.versions("m") == [9, 10]
    assert [model.version for model in serving.models()] == [9, 10]


@pytest.mark.parametrize(
    ("name", "version", "kind", "text"),
    [
        ("x", None, NotFound, "Request for unknown model: 'x' is not found"),
        ("x", 1, NotFound, "Request for unknown model: 'x' is not found"),
        ("m", 1, NotFound, "Request for unknown model: 'm' version 1 is not found"),
        ("m", 11, Unavailable, "Request for unknown model: 'm' version 11 is not at ready state"),
        ("gone", None, NotFound, "Request for unknown model: 'gone' has no available versions"),
        ("gone", 1, Unavailable, "Request for unknown model: 'gone' version 1 is not at ready state"),
        ("empty", None, NotFound, "Request for unknown model: 'empty' has no available versions"),
        ("unlisted", None, NotFound, "Request for unknown model: 'unlisted' is not found"),
    ],
)
def test_what_is_missing_is_told_apart(name, version, kind, text):
    with pytest.raises(kind) as error:
        table()[1].get(name, version)
    assert error.value.message == text


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("x", None, "requested model 'x' is not available"),
        ("gone", 1, "requested model 'gone' is not available"),
        ("m", 11, "requested model version is not available for model 'm'"),
        ("m", 1, "requested model version is not available for model 'm'"),
    ],
)
def test_statistics_have_texts_of_their_own(name, version, text):
    with pytest.raises(InvalidArgument) as error:
        table()[1].statistics_of(name, version)
    assert error.value.message == text


def test_statistics_are_of_one_version_one_model_or_all():
    _, serving = table()
    assert [m.version for m in serving.statistics_of("m", None)] == [9, 10]
    assert [m.version for m in serving.statistics_of("m", 10)] == [10]
    assert [m.version for m in serving.statistics_of(None, None)] == [9, 10]


def test_a_version_that_is_not_ready_any_more_is_not_served():
    states, serving = table()
    states["m"].versions[10].state = "UNLOADING"
    serving.refresh("m")
    assert serving.get("m", None).version == 9
    with pytest.raises(Unavailable):
        serving.get("m", 10)


def test_a_version_is_held_until_it_is_freed():
    states, serving = table()
    entry = states["m"].versions[10]
    leaving = entry.model
    entry.state = "UNLOADING"
    serving.refresh("m")
    assert serving.holding("m", 10) is leaving
    assert [model.version for model in serving.held()] == [9, 10]
    serving.freed(leaving)
    assert serving.holding("m", 10) is None
    assert [model.version for model in serving.held()] == [9]


def test_one_that_took_the_place_of_another_is_held_when_that_is_freed():
    states, serving = table()
    replaced = states["m"].versions[10].model
    new = SimpleNamespace(name="m", version=10)
    states["m"].versions[10] = VersionState(10, "READY", model=new)
    serving.refresh("m")
    serving.freed(replaced)
    assert serving.held()[1] is new


def test_one_that_is_freed_first_is_held_as_long_as_one_that_it_replaced():
    states, serving = table()
    replaced = states["m"].versions[10].model
    new = SimpleNamespace(name="m", version=10)
    entry = states["m"].versions[10] = VersionState(10, "READY", model=new)
    serving.refresh("m")
    entry.state = "UNLOADING"
    serving.refresh("m")
    serving.freed(new)
    assert serving.holding("m", 10) is new
    serving.freed(replaced)
    assert [model.version for model in serving.held()] == [9]


def test_what_is_held_is_sorted():
    states, serving = table()
    states["m"].versions[2] = VersionState(2, "READY", model=SimpleNamespace(name="m", version=2))
    serving.refresh("m")
    assert [model.version for model in serving.held()] == [2, 9, 10]
