from collections.abc import Callable

import pytest

from despina.scheduling.batch_policy import BatchPolicy, next_batch
from despina.scheduling.instances import Instances
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import FifoQueue, QueueLimits
from despina.scheduling.waiting_batches import WaitingBatches, one_at_a_time

FOUR = BatchPolicy(4)


class Runner:
    overlaps = False


class Stage:
    """A queue, one instance and the batches between them."""

    def __init__(self, policy: BatchPolicy | None, places: int) -> None:
        decide = one_at_a_time if policy is None else lambda q, now, batch: next_batch(q, now, policy, batch)
        self.queue = FifoQueue(QueueLimits())
        self.runner = Runner()
        self.instances = Instances([self.runner], overlapping=places > 0)
        self.waiting = WaitingBatches(self.queue, decide, self.instances, places)

    def push(self, *rows: int) -> list[Pending]:
        requests = [Pending({}, each, lambda pending: None) for each in rows]
        for pending in requests:
            self.queue.push(pending)
        return requests

    def form(self, now_ns: int = 0) -> list[int]:
        """The rows of the batches that wait afterwards."""
        self.waiting.form(now_ns)
        return [batch.rows for batch in self.waiting]


@pytest.fixture
def make() -> Callable[..., Stage]:
    return lambda policy=FOUR, places=2: Stage(policy, places)


def test_what_waits_is_joined_until_the_batch_is_full(make) -> None:
    stage = make()
    stage.instances.started(stage.runner, 1)
    stage.push(1)
    assert stage.form() == [1]
    stage.push(2)
    assert stage.form() == [3]
    stage.push(2)
    assert stage.form() == [3, 2]
    assert [batch.reason for batch in stage.waiting] == ["full", "idle"]


def test_what_finds_no_place_stays_in_the_queue(make) -> None:
    stage = make()
    stage.push(4, 4, 4)
    assert stage.form() == [4, 4]
    assert stage.queue.rows == 4


def test_a_delay_says_when_to_look_again(make) -> None:
    stage = make(BatchPolicy(4, max_queue_delay_ns=50))
    (pending,) = stage.push(1)
    pending.queued_ns = 10
    assert stage.waiting.form(20) == 60
    assert not stage.waiting.want_instance


def test_without_places_a_batch_is_formed_for_a_free_instance_only(make) -> None:
    stage = make(places=0)
    stage.push(1, 1)
    stage.instances.started(stage.runner, 1)
    assert stage.form() == []
    stage.instances.finished(stage.runner)
    assert stage.form() == [2]


class NoPermits:
    def next(self, idle: list[Runner]) -> None: ...


def test_what_only_lacks_a_permit_stays_in_the_queue_and_wants_an_instance(make) -> None:
    stage = make(places=0)
    stage.instances.permits = NoPermits()
    stage.push(1)
    assert stage.form() == []
    assert stage.waiting.want_instance
    stage.queue.take(1)
    assert not stage.waiting.want_instance


def test_requests_whose_clients_have_gone_leave_and_take_an_empty_batch_with_them(make) -> None:
    stage = make(policy=None)
    first, second = stage.push(1, 1)
    assert stage.form() == [1, 1]
    first.cancel()
    assert stage.waiting.discard_cancelled() == [first]
    assert [batch.requests for batch in stage.waiting] == [[second]]
