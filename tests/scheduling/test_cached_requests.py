"""The cache in front of a scheduler that answers when it is told to."""

import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from despina.errors import Unavailable
from despina.scheduling.cached_requests import LARGE_BYTES, CachedRequests
from despina.scheduling.pending import Pending
from despina.scheduling.response_cache import ResponseCache
from despina.shared_memory.guarded_map import is_shared
from despina.shared_memory.system import open_system
from despina.telemetry.statistics import Duration, ModelStatistics


class Inner:
    def __init__(self) -> None:
        self.taken: list[Pending] = []
        self.gone: list[Pending] = []
        self.full = False
        self.closed = False
        self.callbacks: list[Callable[[], None]] = []

    def submit(self, pending: Pending) -> None:
        if self.full:
            raise Unavailable("Exceeds maximum queue size")
        self.taken.append(pending)

    def request_gone(self, pending: Pending) -> None:
        self.gone.append(pending)

    @property
    def busy(self) -> bool:
        return bool(self.taken)

    def when_idle(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def close(self) -> None:
        self.closed = True

    def answer(self, *names: str) -> None:
        pending = self.taken.pop(0)
        value = pending.inputs["X"]
        pending.succeed(dict.fromkeys(names or pending.outputs or ("Y", "Z"), value + 1))


class Later(Executor):
    """Does what it was given when told to."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.work.append(lambda: fn(*args, **kwargs))
        return Future()


class Stage:
    def __init__(self, clock: Any, **more: Any) -> None:
        self.clock, self.inner, self.statistics, self.later = clock, Inner(), ModelStatistics(), Later()
        self.cache = ResponseCache(1_000_000, self.later)
        self.answered: list[Pending] = []
        self.layer = self.make(**more)

    def make(self, **more: Any) -> CachedRequests:
        layer = partial(CachedRequests, self.inner, self.cache, ("Y", "Z"), self.clock, self.statistics)
        return layer(is_shared=is_shared, **more)

    def submit(self, value: float, outputs: tuple[str, ...] | None = None, byte_size: int = 4) -> Pending:
        inputs = {"X": np.full((1, 1), value, np.float32)}
        pending = Pending(
            inputs, 1, self.answered.append, outputs=outputs, byte_size=byte_size, accepted_ns=self.clock.now_ns()
        )
        self.layer.submit(pending)
        return pending


@pytest.fixture
def stage(clock) -> Stage:
    return Stage(clock)


def test_a_second_request_is_answered_without_the_scheduler(stage: Stage) -> None:
    first = stage.submit(1)
    stage.inner.answer()
    second = stage.submit(1)
    assert stage.inner.taken == []
    assert stage.answered == [first, second]
    assert {name: array.tolist() for name, array in second.results.items()} == {"Y": [[2]], "Z": [[2]]}
    statistics = stage.statistics
    assert (statistics.cache_hit.count, statistics.cache_miss.count, statistics.success.count) == (1, 1, 1)
    assert (statistics.queue.count, statistics.inference_count) == (1, 0)
    assert (stage.cache.hits, stage.cache.misses) == (1, 1)


def test_a_hit_that_has_no_room_where_the_client_wants_it_has_failed(stage: Stage) -> None:
    stage.submit(1)
    stage.inner.answer()

    def misplace(pending: Pending) -> None:
        pending.error = Unavailable("no room")

    stage.layer.submit(Pending({"X": np.full((1, 1), 1, np.float32)}, 1, misplace, byte_size=4))
    statistics = stage.statistics
    assert (statistics.cache_hit.count, statistics.success.count, statistics.failures["BACKEND"]) == (1, 0, 1)


def test_an_answer_that_does_not_fit_the_cache_is_reported_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.cache.capacity = 100
    for value in (1, 2):
        stage.submit(value)
        stage.inner.answer()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert re.match(r"Failed to insert key \[[0-9a-f]{64}\] into response cache: ", record.getMessage())
    assert stage.statistics.cache_miss.count == 2


def test_other_values_are_other_requests(stage: Stage) -> None:
    stage.submit(1)
    stage.inner.answer()
    stage.submit(2)
    assert len(stage.inner.taken) == 1


def test_a_hit_has_the_outputs_that_were_asked_for(stage: Stage) -> None:
    stage.submit(1)
    stage.inner.answer()
    assert set(stage.submit(1, ("Z",)).results) == {"Z"}


def test_an_answer_to_less_is_no_answer_to_more(stage: Stage) -> None:
    stage.submit(1, ("Y",))
    stage.inner.answer()
    stage.submit(1)
    assert len(stage.inner.taken) == 1
    stage.inner.answer()
    assert set(stage.submit(1).results) == {"Y", "Z"}


def test_errors_are_not_remembered(stage: Stage) -> None:
    pending = stage.submit(1)
    stage.inner.taken.pop().fail(ValueError("no"))
    assert stage.answered == [pending]
    stage.submit(1)
    assert len(stage.inner.taken) == 1
    assert stage.statistics.cache_miss.count == 0


@pytest.mark.parametrize(("origin", "misses"), [(None, 1), (lambda: "steps", 0)])
def test_a_request_that_failed_as_it_was_executed_is_a_miss_unless_it_is_an_ensembles(
    clock, origin: Callable[[], object] | None, misses: int
) -> None:
    stage = Stage(clock, origin=origin)
    stage.submit(1)
    failed = stage.inner.taken.pop()
    failed.started_ns = 1
    failed.fail(ValueError("no"))
    assert stage.statistics.cache_miss.count == misses
    assert len(stage.cache) == 0


def test_equal_requests_of_the_same_moment_are_one_miss(stage: Stage) -> None:
    for outputs in (("Y",), ("Y",), None):
        stage.submit(1, outputs)
    assert len(stage.inner.taken) == 3
    for misses in (1, 1, 2):
        stage.inner.answer()
        assert stage.statistics.cache_miss.count == misses


def test_a_miss_lasts_as_long_as_lookup_and_insertion(stage: Stage) -> None:
    stage.submit(1)
    stage.clock.advance(5)
    stage.inner.answer()
    assert stage.statistics.cache_miss.ns == stage.cache.lookup_ns + stage.cache.insertion_ns == 0


def test_a_full_queue_refuses_as_ever(stage: Stage) -> None:
    stage.inner.full = True
    with pytest.raises(Unavailable):
        stage.submit(1)
    assert stage.answered == []
    assert not stage.layer.busy


def test_another_load_of_the_model_starts_with_nothing(stage: Stage) -> None:
    stage.submit(1)
    stage.inner.answer()
    stage.layer.close()
    assert stage.inner.closed
    assert len(stage.cache) == 0
    stage.layer = stage.make()
    stage.submit(1)
    assert len(stage.inner.taken) == 1


def test_large_inputs_are_hashed_elsewhere(stage: Stage) -> None:
    pending = stage.submit(1, byte_size=LARGE_BYTES + 1)
    assert stage.layer.busy
    assert stage.inner.taken == []
    stage.later.work.pop()()
    assert stage.inner.taken == []
    stage.clock.settle()
    assert stage.inner.taken == [pending]
    stage.inner.answer()
    again = stage.submit(1, byte_size=LARGE_BYTES + 1)
    stage.later.work.pop()()
    stage.clock.settle()
    assert again.results is not None
    assert not stage.layer.busy


def test_a_hit_was_queued_while_its_inputs_were_digested(stage: Stage) -> None:
    stage.submit(1)
    stage.inner.answer()
    stage.submit(1, byte_size=LARGE_BYTES + 1)
    stage.clock.advance(3)
    stage.later.work.pop()()
    stage.clock.settle()
    assert stage.statistics.queue == stage.statistics.success == Duration(1, 3_000_000)
    assert stage.statistics.cache_hit == Duration(1, 0)


def test_a_client_that_hangs_up_meanwhile_is_reported_to_the_scheduler(stage: Stage) -> None:
    pending = stage.submit(1, byte_size=LARGE_BYTES + 1)
    stage.layer.request_gone(pending)
    stage.inner.gone.clear()
    stage.later.work.pop()()
    stage.clock.settle()
    assert stage.inner.gone == [pending]


def test_a_refusal_after_hashing_elsewhere_is_an_answer(stage: Stage) -> None:
    stage.inner.full = True
    pending = stage.submit(1, byte_size=LARGE_BYTES + 1)
    stage.later.work.pop()()
    stage.clock.settle()
    assert stage.answered == [pending]
    assert str(pending.error) == "Exceeds maximum queue size"


def test_it_is_idle_only_after_what_is_hashed_elsewhere(stage: Stage) -> None:
    stage.submit(1, byte_size=LARGE_BYTES + 1)
    told: list[str] = []
    stage.layer.when_idle(lambda: told.append("idle"))
    assert stage.inner.callbacks == []
    stage.later.work.pop()()
    stage.clock.settle()
    assert len(stage.inner.callbacks) == 1
    stage.layer.when_idle(lambda: None)
    assert len(stage.inner.callbacks) == 2


def test_a_hit_has_no_parameters_of_the_answer_that_was_remembered(stage: Stage) -> None:
    stage.submit(1).response_parameters = {"sequence_id": 1}
    stage.inner.answer()
    assert stage.submit(1).response_parameters is None


def test_ordered_hits_wait_for_the_requests_before_them(clock) -> None:
    stage = Stage(clock, ordered=True)
    stage.submit(1)
    stage.inner.answer()
    stage.answered.clear()
    second = stage.submit(2)
    hit = stage.submit(1)
    third = stage.submit(3)
    late = stage.submit(1)
    assert stage.answered == []
    stage.inner.answer()
    assert stage.answered == [second, hit]
    assert stage.layer.busy
    stage.inner.taken.pop().fail(ValueError("no"))
    assert stage.answered == [second, hit, third, late]
    assert not stage.layer.busy


def test_ordered_requests_that_were_refused_hold_nobody_up(clock) -> None:
    stage = Stage(clock, ordered=True)
    stage.submit(1)
    stage.inner.answer()
    stage.inner.full = True
    with pytest.raises(Unavailable):
        stage.submit(2)
    assert stage.submit(1).results is not None


@pytest.mark.parametrize("byte_size", [4, LARGE_BYTES + 1])
def test_memory_that_changes_before_the_answer_is_not_remembered_for_what_it_was(
    stage: Stage, tmp_path: Path, byte_size: int
) -> None:
    (tmp_path / "segment").write_bytes(np.float32(1).tobytes())
    memory = open_system("r", "/segment", 0, 4, tmp_path)
    pending = Pending(
        {"X": np.ndarray((1, 1), np.float32, memory.read(0, 4))}, 1, stage.answered.append, byte_size=byte_size
    )
    stage.layer.submit(pending)
    for work in stage.later.work:
        work()
    stage.clock.settle()
    memory.write(0, np.float32(5).tobytes())
    stage.inner.answer()
    stage.submit(1)
    assert [answered.results["Y"].item() for answered in stage.answered if answered.results] == [2, 2]
