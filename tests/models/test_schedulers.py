from contextlib import nullcontext
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument, NotFound, Unsupported
from despina.models.ensemble_steps import EnsembleSteps
from despina.models.loader import PlacedInstance
from despina.models.schedulers import Parts, SchedulingOptions, answers_early, make_scheduler, queue_rules
from despina.models.signature import takes_oversize
from despina.scheduling.batch_policy import BatchPolicy, OpenBatch, next_batch
from despina.scheduling.batcher import Batcher
from despina.scheduling.ensemble_step import StepModel
from despina.scheduling.fastest_batch import FastestBatch
from despina.scheduling.oversize import Oversize
from despina.scheduling.pending import Pending
from despina.scheduling.policy_queue import QueuePolicy, QueueRules
from despina.scheduling.rate_limiter import RateLimiter, Resource
from despina.scheduling.request_queue import TooLate
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Device

OVERSIZE = 'parameters { key: "allow_oversize_requests" value { string_value: "true" } }'


class Runner:
    name = "m_0"


class Clock:
    def now_ns(self) -> int:
        return 0

    def call_soon(self, callback: object) -> None: ...


def config(text: str) -> ModelConfig:
    return text_format.Parse('name: "m" ' + text, ModelConfig())


def parts(text: str, limiter: RateLimiter | None = None, device: int = 0) -> Parts:
    place = PlacedInstance("m_0", Device("GPU", device), 0, None)  # type: ignore[arg-type]
    options = SchedulingOptions(rate_limiter=limiter)
    return Parts(config(text), [Runner()], [place], Clock(), ModelStatistics(), options)  # type: ignore[list-item,arg-type]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Batcher),
        ("max_batch_size: 4", Batcher),
        ("dynamic_batching {}", Batcher),
        (f"max_batch_size: 4 {OVERSIZE}", Oversize),
        (f"max_batch_size: 4 dynamic_batching {{}} {OVERSIZE}", Oversize),
        (f"max_batch_size: 0 {OVERSIZE}", Batcher),
    ],
)
def test_the_scheduler_a_configuration_asks_for(text: str, kind: type) -> None:
    assert type(make_scheduler(parts(text))) is kind


@pytest.mark.parametrize(
    ("batching", "delays"),
    [
        ("", False),
        ("preferred_batch_size: 8", False),
        ("max_queue_delay_microseconds: 1", True),
    ],
)
def test_batches_may_have_to_wait_only_where_there_is_a_delay(batching: str, delays: bool) -> None:
    scheduler = make_scheduler(parts(f"max_batch_size: 8 dynamic_batching {{ {batching} }}"))
    assert scheduler._options.delays is delays  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        "dynamic_batching {}",
        "dynamic_batching { preferred_batch_size: 6 }",
        "dynamic_batching { preferred_batch_size: [3, 6] }",
        "dynamic_batching { max_queue_delay_microseconds: 5 }",
        'input { name: "x" data_type: TYPE_FP32 dims: -1 } dynamic_batching {}',
    ],
)
def test_a_batcher_decides_as_the_rules_say_however_it_comes_to_it(text: str) -> None:
    made: Any = make_scheduler(parts(f"max_batch_size: 6 {text}"))
    decide, queue = made._waiting._decide, made._queue
    random = Random(1)
    policy = policy_of(config(f"max_batch_size: 6 {text}"))
    for _ in range(300):
        queue.take(len(queue))
        for rows in random.choices([1, 1, 2, 4, 6], k=random.randint(1, 4)):
            key = random.choice("ab") if "dims: -1" in text else None
            queue.push(Pending({}, rows, lambda _: None, key, queued_ns=random.randint(1, 9)))
        open_batch = OpenBatch(random.randint(0, 5), "a" if "dims: -1" in text else None)
        assert decide(queue, 10, open_batch) == next_batch(list(queue), 10, policy, open_batch)


def policy_of(of: ModelConfig) -> BatchPolicy:
    batching = of.dynamic_batching
    return BatchPolicy(6, tuple(batching.preferred_batch_size), batching.max_queue_delay_microseconds * 1000)


def test_a_choice_without_a_scheduler_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.models.schedulers.SCHEDULERS", {})
    with pytest.raises(Unsupported, match="model 'm': there is no scheduler for dynamic_batching; remove it"):
        make_scheduler(parts("dynamic_batching {}"))


def test_an_ensemble_where_no_other_models_are_is_refused() -> None:
    with pytest.raises(Unsupported, match="ensemble 'm': there are no other models here to run its steps"):
        make_scheduler(parts("ensemble_scheduling {}"))


@pytest.mark.parametrize(("ragged", "joins"), [("", True), ("allow_ragged_batch: true", False)])
def test_requests_of_an_ensemble_go_together_unless_an_input_is_ragged(ragged: str, joins: bool) -> None:
    def find(name: str, version: int | None) -> StepModel:
        raise NotFound(name)

    text = f'max_batch_size: 4 input {{ name: "X" dims: -1 {ragged} }} ensemble_scheduling {{}}'
    steps = EnsembleSteps.of(config(text), find)
    made: Any = make_scheduler(replace(parts(text), steps=steps))
    made.submit(Pending({}, 1, lambda _: None))
    assert bool(made._arrived) is joins


@pytest.mark.parametrize(("action", "refused"), [("REJECT", True), ("DELAY", False)])
def test_what_cannot_be_in_time_is_refused_on_arrival_where_a_timeout_would_refuse_it(
    action: str, refused: bool
) -> None:
    policy = f"default_queue_policy {{ default_timeout_microseconds: 1000 timeout_action: {action} }}"
    made: Any = make_scheduler(parts(f"max_batch_size: 1 dynamic_batching {{ {policy} }}"))
    for _ in range(FastestBatch.MEMORY if made._observer is not None else 0):
        made._observer.batch_done(None, 1, 2_000_000)
    made._queue.push(Pending({}, 1, lambda _: None))
    with pytest.raises(TooLate) if refused else nullcontext():
        made._queue.push(Pending({}, 1, lambda _: None))


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", QueueRules()),
        ("default_queue_policy { timeout_action: DELAY }", QueueRules(QueuePolicy(rejects=False))),
        ("default_queue_policy { default_timeout_microseconds: 5 allow_timeout_override: true max_queue_size: 7 }",
         QueueRules(QueuePolicy(True, 5, True, 7))),
        ("priority_levels: 3 default_priority_level: 2 priority_queue_policy { key: 1 value { max_queue_size: 3 } }",
         QueueRules(QueuePolicy(), 3, 2, {1: QueuePolicy(max_queue_size=3)})),
        ("priority_queue_policy { key: 1 value { max_queue_size: 3 } }", QueueRules()),
    ],
)  # fmt: skip
def test_the_rules_of_the_queue(text: str, rules: QueueRules) -> None:
    assert queue_rules(config(f"dynamic_batching {{ {text} }}").dynamic_batching) == rules


@pytest.mark.parametrize(
    ("rules", "none"),
    [
        (QueueRules(), True),
        (QueueRules(QueuePolicy(rejects=False)), True),
        (QueueRules(QueuePolicy(default_timeout_us=1)), False),
        (QueueRules(QueuePolicy(allow_timeout_override=True)), False),
        (QueueRules(QueuePolicy(max_queue_size=1)), False),
        (QueueRules(priority_levels=1, default_priority_level=1), False),
    ],
)
def test_any_rule_ends_forming_batches_ahead(rules: QueueRules, none: bool) -> None:
    assert rules.are_none is none


@pytest.mark.parametrize("value", ["true", "True"])
def test_oversize_requests_are_taken_when_the_configuration_says_so(value: str) -> None:
    assert takes_oversize(config(f"max_batch_size: 4 {OVERSIZE.replace('true', value)}"))


@pytest.mark.parametrize(
    "text", ["max_batch_size: 4", f"max_batch_size: 4 {OVERSIZE.replace('true', 'false')}", OVERSIZE]
)
def test_oversize_requests_are_refused_otherwise(text: str) -> None:
    made = config(text)
    before = made.SerializeToString()
    assert not takes_oversize(made)
    assert made.SerializeToString() == before


LIMITED = """instance_group { rate_limiter {
    priority: 2 resources { name: 'R' count: 3 } resources { name: 'G' global: true count: 1 }
} }"""


def test_resources_are_those_of_the_instances_device_unless_global() -> None:
    limits = {Resource("R", 1): 3, Resource("R"): 2, Resource("G"): 1}
    make_scheduler(parts(LIMITED, RateLimiter(limits), device=1))
    with pytest.raises(InvalidArgument, match='Resource count for "R" is limited to 2 '):
        make_scheduler(parts(LIMITED, RateLimiter(limits), device=0))


def test_without_a_limiter_resources_mean_nothing() -> None:
    make_scheduler(parts(LIMITED))


def test_closing_leaves_the_limiter() -> None:
    limiter = RateLimiter()
    scheduler = make_scheduler(parts(LIMITED, limiter))
    scheduler.close()
    make_scheduler(parts("instance_group { rate_limiter { resources { name: 'G' count: 1 } } }", limiter))


@pytest.mark.parametrize(
    ("text", "early"),
    [
        ("max_batch_size: 4 dynamic_batching {}", False),
        (f"max_batch_size: 4 {OVERSIZE}", True),
        ('ensemble_scheduling { step { model_name: "a" model_version: -1 } }', True),
    ],
)
def test_those_who_run_in_parts_may_answer_before_all_of_them_have_ended(text: str, early: bool) -> None:
    assert answers_early(config(text)) is early


@pytest.mark.parametrize("cached", [True, False])
def test_with_a_cache_an_answer_that_is_a_view_of_its_inputs_is_read_once_more_when_it_is_given(cached: bool) -> None:
    assert answers_early(config(f"response_cache {{ enable: {str(cached).lower()} }}")) is cached


@pytest.mark.parametrize("value", ["yes", "", "1"])
def test_what_is_neither_true_nor_false_is_refused(value: str) -> None:
    with pytest.raises(
        InvalidArgument, match=f"model 'm': parameter 'allow_oversize_requests': expected true or false, got '{value}'"
    ):
        takes_oversize(config(f"max_batch_size: 4 {OVERSIZE.replace('true', value)}"))
