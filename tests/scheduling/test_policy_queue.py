import time

import pytest

from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.pending import Pending
from despina.scheduling.policy_queue import PolicyQueue, QueuePolicy, QueueRules, _Level
from despina.scheduling.request_queue import QueueFull, QueueLimits, TooLate

US = 1_000
NO_LIMITS = QueueLimits()


def request(name: str = "", priority: int = 0, timeout_us: int = 0, rows: int = 1, at_us: int = 1) -> Pending:
    pending = Pending({}, rows, lambda _: None, id=name, priority=priority, timeout_us=timeout_us, byte_size=rows)
    pending.queued_ns = at_us * US
    return pending


def names(requests) -> str:
    return " ".join(pending.id for pending in requests)


def make(rules: QueueRules, *requests: Pending, limits: QueueLimits = NO_LIMITS) -> PolicyQueue:
    queue = PolicyQueue(rules, limits)
    for pending in requests:
        queue.push(pending)
    return queue


@pytest.mark.parametrize(
    ("priorities", "order"),
    [
        ([3, 2, 1], "c b a"),
        ([3, 1, 2, 0, 2, 1], "b f c d e a"),
        ([0, 0], "a b"),
        ([4, 2, 99], "a b c"),
    ],
    ids=["lowest first", "arrival within a level, 0 is the default", "all default", "beyond the levels is the default"],
)
def test_levels(priorities: list[int], order: str) -> None:
    rules = QueueRules(priority_levels=3, default_priority_level=2)
    requests = [request("abcdef"[n], priority) for n, priority in enumerate(priorities)]
    queue = make(rules, *requests)
    assert names(queue) == order
    assert names(queue.take(len(requests))) == order
    assert len(queue) == 0


def test_there_may_be_more_levels_than_memory() -> None:
    most = (1 << 64) - 1
    queue = make(QueueRules(priority_levels=most, default_priority_level=1 << 32))
    for level in range(1, 1000):
        queue.push(request(str(level), level))
        assert names(queue.take(1)) == str(level)
    for name, priority in (("last", most), ("default", 0), ("first", 1), ("middle", 1 << 33)):
        queue.push(request(name, priority))
    assert names(queue) == "first default middle last"
    assert names(queue.take(4)) == "first default middle last"


def test_priorities_mean_nothing_without_levels() -> None:
    assert names(make(QueueRules(), request("a", 3), request("b", 1))) == "a b"


@pytest.mark.parametrize(
    ("default_us", "override", "asked_us", "expires_us"),
    [
        (0, False, 0, 0),
        (500, False, 0, 501),
        (500, False, 200, 501),
        (500, True, 200, 201),
        (500, True, 900, 501),
        (500, True, 500, 501),
        (500, True, 0, 501),
        (0, True, 200, 0),
    ],
)
def test_when_a_request_expires(default_us: int, override: bool, asked_us: int, expires_us: int) -> None:
    policy = QueuePolicy(default_timeout_us=default_us, allow_timeout_override=override)
    assert make(QueueRules(policy), request(timeout_us=asked_us)).next_expiry_ns() == expires_us * US


def test_rejected_requests_leave_from_the_middle() -> None:
    rules = QueueRules(QueuePolicy(default_timeout_us=500, allow_timeout_override=True))
    queue = make(rules, request("a"), request("b", timeout_us=100), request("c"))
    assert queue.expire(100 * US) == []
    assert names(queue.expire(101 * US)) == "b"
    assert names(queue) == "a c"
    assert queue.next_expiry_ns() == 501 * US


def test_delayed_requests_stay_behind_the_unexpired_of_their_level_and_before_the_next() -> None:
    rules = QueueRules(QueuePolicy(False, 500, True), priority_levels=2, default_priority_level=2)
    queue = make(rules, request("a", 1, 100), request("b", 1), request("c", 2, 50), request("d", 2))
    assert queue.expire(200 * US) == []
    assert names(queue) == "b a d c"
    assert names(queue.take(3)) == "b a d"
    assert queue.next_expiry_ns() == 0


@pytest.mark.parametrize("looks_us", [[900], [120, 220, 900], [220, 900]], ids=["once", "at each", "twice"])
def test_delayed_requests_keep_their_order_of_arrival(looks_us: list[int]) -> None:
    rules = QueueRules(QueuePolicy(False, 800, True))
    queue = make(rules, *(request(name, timeout_us=us) for name, us in (("a", 500), ("b", 200), ("c", 100), ("d", 0))))
    queue.push(request("e", at_us=850))
    for us in looks_us:
        queue.expire(us * US)
    assert names(queue) == "e a b c d"


def test_requests_that_expire_out_of_order_cost_little_each() -> None:
    many = 10_000
    rules = QueueRules(QueuePolicy(False, many + 1, True))
    queue = make(rules, *(request(str(n), timeout_us=many - n) for n in range(many)))
    started = time.process_time()
    for us in range(many + 1):
        queue.expire((us + 1) * US)
    assert queue.discard_cancelled(list(queue)[1:-1:2]) != []
    assert names(queue.take(3)) == "0 2 4"
    assert time.process_time() - started < 3


def test_a_taken_request_does_not_expire() -> None:
    queue = make(QueueRules(QueuePolicy(default_timeout_us=500)), request("a"), request("b", at_us=9))
    queue.take(1)
    assert queue.next_expiry_ns() == 509 * US
    assert names(queue.expire(501 * US)) == ""


def test_requests_that_left_are_not_kept_for_their_deadline() -> None:
    queue = make(QueueRules(QueuePolicy(default_timeout_us=10**9)))
    for _ in range(100):
        queue.push(request())
        queue.push(request())
        queue.take(2)
    assert len(queue._deadlines) == 0


def test_delayed_requests_that_left_are_not_kept() -> None:
    queue = make(QueueRules(QueuePolicy(False, 100)), *(request(name) for name in "abc"))
    queue.expire(101 * US)
    queue.discard_cancelled([next(iter(queue))])
    assert names(queue.take(2)) == "b c"
    assert not any(level.numbers for level in queue._in_order)


def test_every_level_has_its_own_limit() -> None:
    rules = QueueRules(QueuePolicy(max_queue_size=1), 2, 2, {1: QueuePolicy(max_queue_size=2)})
    queue = make(rules, request(priority=1), request(priority=1), request(priority=2))
    for priority in (1, 2):
        with pytest.raises(QueueFull, match=r"^\[request id: z\] Exceeds maximum queue size$"):
            queue.push(request("z", priority))


def test_delayed_requests_count_in_the_limit() -> None:
    queue = make(QueueRules(QueuePolicy(False, 100, False, 1)), request())
    queue.expire(500 * US)
    with pytest.raises(QueueFull):
        queue.push(request())


def test_the_server_wide_limit_holds_over_all_levels() -> None:
    rules = QueueRules(priority_levels=2, default_priority_level=1)
    queue = make(rules, request(priority=1, rows=3), limits=QueueLimits(rows=4))
    with pytest.raises(QueueFull):
        queue.push(request(priority=2, rows=2))
    queue.push(request(priority=2, rows=1))
    assert queue.rows == 4
    queue.take(2)
    assert queue.rows == 0


def test_the_server_wide_limit_counts_bytes_too() -> None:
    queue = make(QueueRules(), request("a", rows=2), limits=QueueLimits(byte_size=3))
    with pytest.raises(QueueFull):
        queue.push(request("b", rows=2))
    queue.push(request("c"))
    queue.take(2)
    queue.push(request("d", rows=2))
    assert names(queue) == "d"


def test_cancelled_requests_leave() -> None:
    queue = make(QueueRules(QueuePolicy(default_timeout_us=500)), request("a"), request("b"), request("c"))
    gone = list(queue)[1]
    assert names(queue.discard_cancelled([request("elsewhere"), gone, gone])) == "b"
    assert names(queue) == "a c"


def test_a_delayed_request_leaves_when_it_is_cancelled() -> None:
    queue = make(QueueRules(QueuePolicy(False, 100)), request("a"), request("b", at_us=900))
    delayed = next(iter(queue))
    queue.expire(500 * US)
    assert names(queue.discard_cancelled([delayed])) == "a"
    assert names(queue) == "b"


def test_nobody_else_is_looked_at_when_a_client_leaves(monkeypatch) -> None:
    waiting = [request(str(number), number % 3) for number in range(9)]
    queue = make(QueueRules(QueuePolicy(), 3, 1), *waiting)

    def look(level: _Level) -> None:
        raise AssertionError("all requests of a level are looked at")

    monkeypatch.setattr(_Level, "__iter__", look)
    assert names(queue.discard_cancelled(waiting[4:6])) == "4 5"


def test_ten_thousand_levels_cost_each_other_nothing(monkeypatch) -> None:
    looked = 0

    def length(level: _Level) -> int:
        nonlocal looked
        looked += 1
        return len(level.unexpired)

    monkeypatch.setattr(_Level, "__len__", length)
    most = 10_000
    queue = make(QueueRules(priority_levels=most, default_priority_level=1))
    for number in range(most):
        queue.push(request(priority=(number * 7919) % most + 1))
    taken = [pending.priority for _ in range(1000) for pending in queue.take(1)]
    assert taken == list(range(1, 1001))
    assert looked < 100_000


def test_a_level_whose_first_request_is_refused_is_not_kept() -> None:
    queue = make(QueueRules(priority_levels=1 << 32, default_priority_level=1), request(), limits=QueueLimits(rows=1))
    for number in range(2, 1000):
        with pytest.raises(QueueFull):
            queue.push(request(priority=number))
    assert len(queue._levels) == 1


def test_a_request_that_would_expire_before_its_turn_is_refused_with_the_estimate() -> None:
    queue = PolicyQueue(QueueRules(QueuePolicy(default_timeout_us=500)), QueueLimits(), lambda rows: rows * 200 * US)
    for _ in range(3):
        queue.push(request())
    with pytest.raises(
        TooLate, match=r"^Request timeout expired: the 3 rows ahead take at least 600 micro.* 500;"
    ) as late:
        queue.push(request())
    assert late.value.retry_after == pytest.approx(100e-6)
    assert len(queue) == 3


def test_only_rows_of_the_same_or_a_better_level_are_ahead() -> None:
    rules = QueueRules(QueuePolicy(default_timeout_us=500), priority_levels=2, default_priority_level=2)
    queue = PolicyQueue(rules, QueueLimits(), lambda rows: rows * 600 * US)
    queue.push(request(priority=2))
    queue.push(request(priority=1))
    with pytest.raises(TooLate):
        queue.push(request(priority=1))


def test_delayed_or_endless_requests_are_never_too_late() -> None:
    for policy in (QueuePolicy(False, 500), QueuePolicy()):
        queue = PolicyQueue(QueueRules(policy), QueueLimits(), lambda rows: rows * 600 * US)
        queue.push(request())
        queue.push(request())


# ------------------------------------------------------------------------------------------------- inside a batcher


def test_an_expired_request_is_refused_at_its_deadline_and_never_runs(make_stage, clock) -> None:
    stage = make_stage(rules=QueueRules(QueuePolicy(default_timeout_us=9_000)))
    stage.plug()
    late = stage.submit()
    clock.advance(8.9)
    assert late.error is None
    clock.advance(0.1)
    assert (str(late.error), late.error.status) == ("Request timeout expired", 503)
    stage.finish()
    assert stage.ran == []
    assert stage.statistics.failures["REJECTED"] == 1
    assert stage.statistics.fail.ns == 9_000_000


def test_a_request_that_runs_does_not_expire(make_stage, clock) -> None:
    stage = make_stage(rules=QueueRules(QueuePolicy(default_timeout_us=9_000)))
    running = stage.submit()
    clock.advance(50)
    stage.finish()
    assert running.results is not None


def test_the_neighbours_of_an_expired_request_run_together(make_stage, clock) -> None:
    stage = make_stage(rules=QueueRules(QueuePolicy(default_timeout_us=90_000, allow_timeout_override=True)))
    stage.plug()
    for timeout_us in (0, 5_000, 0):
        stage.submit(timeout_us=timeout_us)
    clock.advance(10)
    stage.finish()
    assert stage.ran == [2]


def test_a_delayed_request_runs_after_the_others(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1), rules=QueueRules(QueuePolicy(False, 9_000)))
    stage.plug()
    expired = stage.submit()
    clock.advance(10)
    fresh = stage.submit()
    stage.finish_all()
    assert stage.answered[1:] == [fresh, expired]


def test_a_queue_with_rules_keeps_its_requests_until_an_instance_is_free(make_stage) -> None:
    rules = QueueRules(QueuePolicy(max_queue_size=3))
    stage = make_stage(rules=rules)
    stage.plug()
    for _ in range(3):
        stage.submit()
    with pytest.raises(QueueFull):
        stage.submit()
    stage.finish()
    assert stage.ran == [3]
    assert stage.statistics.fail.count == 0


def test_an_urgent_request_overtakes_up_to_the_last_moment(make_stage) -> None:
    stage = make_stage(BatchPolicy(1), rules=QueueRules(priority_levels=2, default_priority_level=2))
    stage.plug()
    usual, urgent = stage.submit(), stage.submit(priority=1)
    stage.finish_all()
    assert stage.answered[1:] == [urgent, usual]


def test_an_urgent_request_does_not_make_those_behind_it_wait_longer_for_the_batch(make_stage, clock) -> None:
    rules = QueueRules(priority_levels=2, default_priority_level=2)
    stage = make_stage(BatchPolicy(8, (), 50_000_000), rules=rules)
    stage.submit()
    clock.advance(30)
    stage.submit(priority=1)
    clock.advance(19)
    assert stage.ran == []
    clock.advance(1)
    assert stage.ran == [2]


def test_the_delay_of_a_batch_and_the_timeout_of_a_request_share_the_timer(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(8, (), 50_000_000), rules=QueueRules(QueuePolicy(default_timeout_us=20_000)))
    stage.submit()
    clock.advance(20)
    assert stage.statistics.failures["REJECTED"] == 1
    clock.advance(100)
    assert stage.ran == []
    assert [timer for timer in clock.timers if not timer.cancelled] == []


def test_a_request_that_cannot_make_it_is_refused_up_front_and_counted_as_rejected(make_stage, clock) -> None:
    stage = make_stage(BatchPolicy(1), rules=QueueRules(QueuePolicy(default_timeout_us=25_000)), estimate=True)
    for _ in range(16):
        stage.submit()
        clock.advance(10)
        stage.finish()
    stage.plug()
    for _ in range(3):
        stage.submit()
    with pytest.raises(TooLate):
        stage.submit()
    assert stage.statistics.failures["REJECTED"] == 1
    assert stage.statistics.pending == 3
