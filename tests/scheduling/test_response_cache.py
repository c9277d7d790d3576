import tracemalloc
from collections.abc import ValuesView
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pytest

from despina.errors import InvalidArgument
from despina.scheduling.response_cache import (
    ENTRY_BYTES,
    MOST_AT_ONCE,
    OUTPUT_BYTES,
    SMALL_BYTES,
    ResponseCache,
    _Shelf,
    digest,
    open_cache,
)

X = np.arange(4, dtype=np.float32)
LARGE = np.arange(SMALL_BYTES, dtype=np.float32)


def strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": X}, {"b": X}),
        ({"a": X}, {"a": X + 1}),
        ({"a": X}, {"a": X.reshape(2, 2)}),
        ({"a": LARGE}, {"a": LARGE + 1}),
        ({"a": X}, {"a": X.view(np.int32)}),
        ({"a": X}, {"a": X, "b": X}),
        ({"a": X, "b": X + 1}, {"a": X + 1, "b": X}),
        ({"a": strings(b"ab", b"c")}, {"a": strings(b"a", b"bc")}),
        ({"a": strings(b"")}, {"a": strings(b"", b"")}),
    ],
)
def test_different_inputs_have_different_digests(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": X, "b": X + 1}, {"b": X + 1, "a": X.copy()}),
        ({"a": X[::2]}, {"a": X[::2].copy()}),
        ({"a": LARGE[::2]}, {"a": LARGE[::2].copy()}),
        ({"a": strings(b"x")}, {"a": strings(b"x")}),
        ({"a": np.float32(3) + np.zeros(())}, {"a": np.float32(3) + np.zeros(())}),
        ({"a": np.zeros((0, 3))}, {"a": np.zeros((0, 3))}),
    ],
)
def test_equal_inputs_have_equal_digests(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert digest(one) == digest(other)


def entry(elements: int) -> dict[str, np.ndarray]:
    return {"y": np.zeros(elements, np.uint8)}


def size(elements: int) -> int:
    return ENTRY_BYTES + OUTPUT_BYTES + elements


def test_what_was_inserted_is_found() -> None:
    cache = ResponseCache(10_000)
    cache.insert((1, b"k"), {"y": X, "z": X + 1})
    found = cache.find((1, b"k"), ["z"])
    assert found is not None
    assert list(found) == ["z"]
    assert found["z"].tolist() == [1, 2, 3, 4]
    assert cache.find((1, b"other"), ["z"]) is None


def test_an_answer_without_the_wanted_output_is_no_answer() -> None:
    cache = ResponseCache(1000)
    cache.insert((1, b"k"), {"y": X})
    assert cache.find((1, b"k"), ["y", "z"]) is None
    cache.insert((1, b"k"), {"z": X})
    assert set(cache.find((1, b"k"), ["y", "z"]) or ()) == {"y", "z"}
    assert len(cache) == 1


def test_the_cache_keeps_copies_that_nobody_can_change() -> None:
    cache, batch = ResponseCache(10_000), np.zeros((64, 4))
    cache.insert((1, b"k"), {"y": batch[:1]})
    batch[0] = 1
    found = cache.find((1, b"k"), ["y"])
    assert found is not None
    assert found["y"].tolist() == [[0, 0, 0, 0]]
    assert found["y"].base is None
    with pytest.raises(ValueError, match="read-only"):
        found["y"][0] = 1


def test_the_least_recently_used_goes_first() -> None:
    cache = ResponseCache(3 * size(10))
    for key in (b"a", b"b", b"c"):
        cache.insert((1, key), entry(10))
    cache.find((1, b"a"), ["y"])
    cache.insert((1, b"d"), entry(10))
    assert [key for key in (b"a", b"b", b"c", b"d") if cache.find((1, key), ["y"])] == [b"a", b"c", b"d"]
    assert (cache.evictions, len(cache), cache.used) == (1, 3, 3 * size(10))


def test_a_large_answer_makes_room_for_itself() -> None:
    cache = ResponseCache(3 * size(10))
    for key in (b"a", b"b", b"c"):
        cache.insert((1, key), entry(10))
    cache.insert((1, b"large"), entry(2 * size(10)))
    assert (len(cache), cache.evictions) == (1, 3)
    assert cache.used <= cache.capacity


def test_an_answer_larger_than_the_cache_is_not_kept() -> None:
    cache = ResponseCache(1000)
    assert cache.insert((1, b"a"), entry(10))
    assert not cache.insert((1, b"b"), entry(1000))
    assert cache.insert((1, b"a"), entry(10))
    assert cache.find((1, b"a"), ["y"]) is not None
    assert (len(cache), cache.evictions) == (1, 0)


def test_strings_count_with_their_bytes() -> None:
    cache = ResponseCache(10_000)
    cache.insert((1, b"a"), {"y": strings(b"x" * 500)})
    assert cache.used > ENTRY_BYTES + OUTPUT_BYTES + 500


def test_a_model_version_is_forgotten_without_the_others() -> None:
    cache = ResponseCache(10_000)
    first, second = cache.scope(), cache.scope()
    assert first != second
    cache.insert((first, b"k"), entry(10))
    cache.insert((second, b"k"), entry(10))
    cache.forget(first)
    assert cache.find((first, b"k"), ["y"]) is None
    assert cache.find((second, b"k"), ["y"]) is not None
    assert cache.used == size(10)


def test_the_least_recently_used_of_all_models_goes_first() -> None:
    cache = ResponseCache(4 * size(10))
    for scope, key in ((1, b"a"), (2, b"a"), (1, b"b"), (2, b"b")):
        cache.insert((scope, key), entry(10))
    cache.find((1, b"a"), ["y"])
    for key in (b"c", b"d", b"e"):
        cache.insert((3, key), entry(10))
    assert [scope for scope in (1, 2) if cache.find((scope, b"a"), ["y"])] == [1]
    assert cache.find((1, b"b"), ["y"]) is cache.find((2, b"b"), ["y"]) is None
    assert (len(cache), cache.used, cache.evictions) == (4, 4 * size(10), 3)


def test_no_other_model_is_looked_at_to_find_the_least_recently_used(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def values(shelf: _Shelf) -> ValuesView[Any]:
        nonlocal looked
        looked += 1
        return ValuesView(shelf)

    monkeypatch.setattr(_Shelf, "values", values)
    cache = ResponseCache(100 * (ENTRY_BYTES + OUTPUT_BYTES + 1))
    keys = [(scope, b"k") for scope in range(100)]
    for key in keys:
        assert cache.insert(key, {"y": np.zeros(1, np.uint8)})
    assert cache.find(keys[0], ["y"]) is not None
    for scope in range(100, 110):
        assert cache.insert((scope, b"k"), {"y": np.zeros(1, np.uint8)})
    assert [key[0] for key in keys if cache.find(key, ["y"]) is None] == list(range(1, 11))
    assert looked < 300


def test_many_answers_are_freed_elsewhere() -> None:
    class Later(Executor):
        def __init__(self) -> None:
            self.asked: list[tuple[object, ...]] = []

        def submit(self, work: object, *arguments: object) -> None:  # type: ignore[override]
            self.asked.append((work, *arguments))

    elsewhere = Later()
    cache = ResponseCache(10**9, elsewhere)
    for number in range(MOST_AT_ONCE + 1):
        cache.insert((1, number.to_bytes(4)), entry(1))
    cache.insert((2, b"k"), entry(1))
    cache.forget(2)
    assert not elsewhere.asked
    cache.forget(1)
    assert (len(cache), cache.used) == (0, 0)
    ((free, shelf),) = elsewhere.asked
    assert len(shelf) == MOST_AT_ONCE + 1
    free(shelf)
    assert not shelf


def test_the_bytes_of_small_answers_are_about_what_they_take() -> None:
    cache = ResponseCache(10**9)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            results = {"y": np.zeros((1, 10), np.float32), "label": strings(b"%d:a label" % number)}
            cache.insert((1, number.to_bytes(32)), results)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 * taken < cache.used < 1.4 * taken


def test_the_cache_of_the_settings() -> None:
    assert open_cache({}) is None
    cache = open_cache({"local": {"size": "4096"}})
    assert cache is not None
    assert cache.capacity == 4096


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"local": {"size": "1"}, "redis": {}}, "found multiple cache configurations, but only a single cache is"),
        ({"redis": {"host": "h"}}, "there is no cache 'redis' here; expected --cache-config=local,size=<bytes>"),
        ({"local": {"size": "1k"}}, "--cache-config=local,size: expected a number of bytes, got '1k'"),
        ({"local": {}}, "--cache-config=local,size: expected a number of bytes, got ''"),
    ],
)
def test_settings_that_make_no_cache(config: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        open_cache(config)
