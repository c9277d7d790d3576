import pytest

from despina.errors import InvalidArgument
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.permits import Permits
from despina.scheduling.policy_queue import QueuePolicy, QueueRules
from despina.scheduling.rate_limiter import Demand, Permit, RateLimiter, Resource


def permit(priority: int = 1, woken: list[object] | None = None, device: int | None = 0, **counts: int) -> Permit:
    """Needs so many of each resource on `device`; adds itself to `woken`."""
    demands = [Demand(Resource(name, device), count) for name, count in counts.items()]
    made = Permit(demands, priority, lambda: woken is not None and woken.append(made))
    return made


def limiter(*permits: Permit, limits: dict[Resource, int] | None = None) -> RateLimiter:
    made = RateLimiter(limits)
    made.join(permits)
    return made


def test_two_instances_do_not_hold_the_same_resource() -> None:
    woken: list[object] = []
    a, b = permit(R=1), permit(R=1, woken=woken)
    shared = limiter(a, b)
    assert shared.acquire(a)
    assert not shared.acquire(b)
    shared.release(a)
    assert woken == [b]
    assert shared.acquire(b)


def test_as_many_as_the_most_demanding_instance_needs() -> None:
    big, small, other = permit(R=3), permit(R=1), permit(R=2)
    shared = limiter(big, small, other)
    assert shared.acquire(small)
    assert shared.acquire(other)
    assert not shared.acquire(big)


def test_a_resource_exists_on_every_device_unless_it_is_global() -> None:
    here, there = permit(R=1, device=0), permit(R=1, device=1)
    shared = limiter(here, there)
    assert shared.acquire(here)
    assert shared.acquire(there)
    one, other = permit(G=1, device=None), permit(G=1, device=None)
    once = limiter(one, other)
    assert once.acquire(one)
    assert not once.acquire(other)


@pytest.mark.parametrize(
    ("limits", "needed", "device", "available"),
    [
        ({Resource("R"): 2}, 4, 0, 2),
        ({Resource("R"): 2, Resource("R", 1): 3, Resource("R", 0): 9}, 4, 1, 3),
        ({Resource("R"): 3, Resource("R", 1): 2}, 4, 1, 3),
        ({Resource("other"): 9}, 4, 0, 0),
        ({Resource("R", 1): 9}, 4, 0, 0),
        ({Resource("R", 0): 3, Resource("R", 1): 2}, 4, None, 3),
        ({Resource("R"): 1}, 4, None, 1),
    ],
    ids=[
        "too few",
        "too few on its device",
        "too few on every device",
        "not listed",
        "listed for another device",
        "global, of devices",
        "global",
    ],
)
def test_an_instance_that_could_never_run_is_refused(limits, needed, device, available) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        limiter(permit(R=needed, device=device), limits=limits)
    assert str(refusal.value) == (
        f'Resource count for "R" is limited to {available} which will prevent scheduling of one or more model '
        f"instances, the minimum required count is {needed}"
    )


def test_limits_from_the_command_line_win_over_the_demands() -> None:
    a, b = permit(R=1), permit(R=1)
    shared = limiter(a, b, limits={Resource("R"): 2})
    assert shared.acquire(a)
    assert shared.acquire(b)


def test_a_resource_is_either_global_or_of_devices() -> None:
    shared = limiter(permit(R=1, device=None))
    with pytest.raises(InvalidArgument) as refusal:
        shared.join([permit(R=1, device=0)])
    assert str(refusal.value) == (
        'Resource "R" is present as both global and device-specific resource in the model configuration.'
    )


def test_a_refused_model_leaves_no_trace() -> None:
    shared = limiter(limits={Resource("R"): 1})
    with pytest.raises(InvalidArgument):
        shared.join([permit(R=1, device=0), permit(R=2, device=0)])
    shared.join([permit(R=1, device=None)])


def test_what_a_model_that_left_needed_counts_no_more() -> None:
    big, small, other = permit(R=2), permit(R=1), permit(R=1)
    shared = limiter(big, small, other)
    shared.leave([big])
    assert shared.acquire(small)
    assert not shared.acquire(other)


def test_a_model_that_leaves_while_it_waits_holds_up_nobody() -> None:
    woken: list[object] = []
    running, leaving, waiting = permit(R=2, S=1), permit(R=3, S=1), permit(S=1, woken=woken)
    shared = limiter(running, leaving, waiting, limits={Resource("R"): 3, Resource("S"): 2})
    shared.acquire(running)
    shared.acquire(leaving)
    assert not shared.acquire(waiting)
    shared.leave([leaving])
    assert woken == [waiting]


def run_turns(shared: RateLimiter, permits: dict[str, Permit], count: int) -> str:
    """Everybody always wants to run; the order in which they do."""
    order = ""
    for waiting in permits.values():
        shared.acquire(waiting)
    for _ in range(count):
        name = next(name for name, waiting in permits.items() if waiting.held)
        order += name
        shared.release(permits[name], again=True)
    return order


def test_the_one_with_the_lowest_executions_times_priority_runs_next() -> None:
    permits = {"a": permit(1, R=1), "b": permit(2, R=1)}
    order = run_turns(limiter(*permits.values()), permits, 30)
    assert (order.count("a"), order.count("b")) == (20, 10)


@pytest.mark.parametrize(
    ("priorities", "order"),
    [((1, 1), "abababab"), ((1, 3), "aaaabaaabaaab"), ((3, 1), "bbbbabbbabbb"), ((1, 2), "aabaabaab")],
)
def test_who_runs_first_when_none_has_run(priorities: tuple[int, int], order: str) -> None:
    permits = {name: permit(priority, R=1) for name, priority in zip("ab", priorities, strict=True)}
    plug = permit(R=1)
    shared = limiter(plug, *permits.values())
    shared.acquire(plug)
    for waiting in permits.values():
        shared.acquire(waiting)
    shared.release(plug)
    assert run_turns(shared, permits, len(order)) == order


def test_priority_0_is_priority_1() -> None:
    permits = {"a": permit(0, R=1), "b": permit(1, R=1)}
    order = run_turns(limiter(*permits.values()), permits, 10)
    assert order.count("a") == 5


def test_a_newcomer_catches_up_but_not_for_ever() -> None:
    old = permit(R=1)
    shared = limiter(old)
    run_turns(shared, {"o": old}, 10_000)
    new = permit(R=1)
    shared.join([new])
    order = run_turns(shared, {"o": old, "n": new}, 300)
    assert order.startswith("o" + "n" * 99)
    assert order.count("o") >= 95


def test_waiting_for_one_resource_does_not_hold_up_users_of_another() -> None:
    running, waiting, other = permit(R=1), permit(R=1), permit(S=1)
    shared = limiter(running, waiting, other)
    shared.acquire(running)
    assert not shared.acquire(waiting)
    assert shared.acquire(other)


def test_a_large_demand_is_not_starved_by_small_ones() -> None:
    big = permit(R=4)
    small = [permit(R=1) for _ in range(5)]
    shared = limiter(big, *small)
    for one in small[:4]:
        assert shared.acquire(one)
    assert not shared.acquire(big)
    for one in small[:3]:
        shared.release(one)
        assert not shared.acquire(small[4])
    shared.release(small[3])
    assert big.held


def test_giving_up_passes_on_what_was_claimed_or_held() -> None:
    woken: list[object] = []
    running, claims, next_one = permit(R=1, S=1), permit(R=1, S=1), permit(S=1, woken=woken)
    shared = limiter(running, claims, next_one, limits={Resource("R"): 1, Resource("S"): 2})
    shared.acquire(running)
    shared.acquire(claims)
    assert not shared.acquire(next_one)
    shared.give_up(claims)
    assert woken == [next_one]
    shared.give_up(next_one)
    assert not next_one.held
    assert next_one.score == Permit.RUN_BEFORE


# ----------------------------------------------------------------------------------------------------- with batchers


def stages(make_stage, *counts: dict[str, int], instances: int = 1, priorities: tuple[int, ...] = (), **more: object):
    shared = RateLimiter()
    made = []
    for wanted, priority in zip(counts, priorities or (1,) * len(counts), strict=True):
        stage = make_stage(BatchPolicy(4), instances=instances, **more)
        demands = [Demand(Resource(name), n) for name, n in wanted.items()]
        permits = {runner: Permit(demands, priority, stage.batcher.ask_turn) for runner in stage.runners}
        shared.join(list(permits.values()))
        stage.batcher.use_permits(Permits(shared, permits))
        made.append(stage)
    return made


def test_models_that_share_a_resource_take_turns(make_stage) -> None:
    first, second = stages(make_stage, {"R": 1}, {"R": 1})
    first.submit()
    second.submit()
    assert (first.ran, second.ran) == ([1], [])
    first.finish()
    assert second.ran == [1]


def test_a_model_that_needs_another_resource_does_not_wait(make_stage) -> None:
    first, second, third = stages(make_stage, {"R": 1}, {"R": 1}, {"S": 1})
    first.submit()
    second.submit()
    third.submit()
    assert third.ran == [1]


def test_a_model_of_lower_priority_gets_fewer_turns(make_stage) -> None:
    often, seldom = stages(make_stage, {"R": 1}, {"R": 1}, priorities=(1, 3))
    for stage in (often, seldom):
        for _ in range(40):
            stage.submit(4)
    for _ in range(24):
        (often if often.running else seldom).finish()
    assert (len(often.ran), len(seldom.ran)) == (19, 6)


def test_two_instances_of_a_model_share_its_resource(make_stage) -> None:
    (stage,) = stages(make_stage, {"R": 1}, instances=2)
    stage.submit()
    stage.submit()
    assert stage.ran == [1]
    stage.finish()
    assert stage.ran == [1, 1]


def test_a_batch_grows_while_it_waits_for_its_resource(make_stage) -> None:
    first, second = stages(make_stage, {"R": 1}, {"R": 1})
    first.submit()
    for _ in range(6):
        second.submit()
    first.finish()
    second.finish()
    assert second.ran == [4, 2]


def test_a_queue_with_rules_is_not_touched_before_the_resource_is_free(make_stage, clock) -> None:
    rules = QueueRules(QueuePolicy(default_timeout_us=5_000))
    first, second = stages(make_stage, {"R": 1}, {"R": 1}, rules=rules)
    first.submit()
    late = second.submit()
    clock.advance(6)
    assert str(late.error) == "Request timeout expired"
    first.finish()
    first.submit()
    assert first.ran == [1, 1]


def test_a_client_that_hangs_up_leaves_the_line_for_the_resource(make_stage, clock) -> None:
    first, second, third = stages(make_stage, {"R": 2, "S": 1}, {"R": 2, "S": 1}, {"S": 1})
    first.submit()
    gone = second.submit()
    waiting = third.submit()
    second.batcher.request_gone(gone)
    clock.settle()
    first.finish()
    third.finish()
    assert waiting.results is not None
    assert second.ran == []


def test_who_lines_up_behind_others_or_leaves_with_them_costs_no_walk_along_the_line_each():
    class Counted(Permit):
        looked_at = 0

        @property
        def rank(self):
            Counted.looked_at += 1
            return super().rank

    running, *waiting = (Counted([Demand(Resource("R"), 1)], 1, list) for _ in range(101))
    shared = limiter(running, *waiting, limits={Resource("R"): 1})
    assert shared.acquire(running)
    Counted.looked_at = 0
    assert not any(shared.acquire(permit) for permit in waiting)
    assert Counted.looked_at == 0
    last = waiting.pop()
    shared.give_up(*waiting)
    assert Counted.looked_at == 1
    shared.give_up(running)
    assert last.held
