"""Which scheduler a configuration asks for.

`SCHEDULERS` maps the configuration's `scheduling_choice` to a function that makes the scheduler. A new kind of
scheduler is a class with the methods of `Scheduler`, a function from `Parts` to it, and a line in that table.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Semaphore
from typing import Any

from despina.config.proto import Message, ModelConfig, model_config_pb2
from despina.errors import InvalidArgument, Unsupported
from despina.models.batch_layout import BatchLayout
from despina.models.ensemble_steps import EnsembleSteps
from despina.models.layers import with_layers
from despina.models.loader import PlacedInstance
from despina.models.signature import takes_oversize
from despina.scheduling.answers import Answers, OrderedAnswers
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.batcher import Batcher, BatcherOptions, BatchObserver
from despina.scheduling.clock import Clock
from despina.scheduling.ensemble import EnsembleScheduler
from despina.scheduling.ensemble_step import FindModel
from despina.scheduling.fastest_batch import FastestBatch
from despina.scheduling.outbox import Outbox
from despina.scheduling.oversize import Oversize
from despina.scheduling.permits import Permits
from despina.scheduling.policy_queue import PolicyQueue, QueuePolicy, QueueRules
from despina.scheduling.rate_limiter import Demand, Permit, RateLimiter, Resource
from despina.scheduling.request_queue import FifoQueue, QueueLimits, RequestQueue
from despina.scheduling.response_cache import ResponseCache
from despina.scheduling.runner import InstanceRunner
from despina.scheduling.scheduler import Scheduler
from despina.scheduling.sequence_plan import SequencePlan
from despina.scheduling.sequence_scheduler import SequenceScheduler
from despina.scheduling.slo import SloQueue
from despina.scheduling.waiting_batches import Decide, decide_by, one_at_a_time
from despina.telemetry.statistics import ModelStatistics

_QUEUE_POLICY: Any = model_config_pb2.ModelQueuePolicy


@dataclass(frozen=True, slots=True)
class SchedulingOptions:
    """What of the server's settings concerns scheduling. `cores` is how many there are, 0 when no batch may run on
    the event loop's thread; `hold_requests` and `hold_backlog` are TRITONSERVER_DELAY_SCHEDULER and
    TRITONSERVER_BACKLOG_DELAY_SCHEDULER; `rate_limiter` is the server's, None when rates are not limited, and so is
    `cache`. `processes` is how many instances may get a process of their own, None for no such thing. `find_model` is
    where ensembles find their steps, `outbox` where answers leave."""

    queue_limits: QueueLimits = field(default_factory=QueueLimits)
    cores: int = 0
    hold_requests: int = 0
    hold_backlog: int = 0
    rate_limiter: RateLimiter | None = None
    cache: ResponseCache | None = None
    processes: Semaphore | None = None
    find_model: FindModel | None = None
    outbox: Outbox = field(default_factory=Outbox)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a scheduler is made of: the final configuration, one runner per active instance (with the place of the
    instance at the same index), what it reads and writes, the plan of a model with sequences, how the instances
    take their batches, and the steps of an ensemble."""

    config: ModelConfig
    runners: Sequence[InstanceRunner]
    places: Sequence[PlacedInstance]
    clock: Clock
    statistics: ModelStatistics
    options: SchedulingOptions
    sequences: SequencePlan | None = None
    layout: BatchLayout = field(default_factory=BatchLayout)
    steps: EnsembleSteps | None = None


def make_scheduler(parts: Parts) -> Scheduler:
    """The scheduler of a model version. Raises InvalidArgument when it could never run, Unsupported when there is no
    such scheduler."""
    choice = parts.config.WhichOneof("scheduling_choice") or ""
    make = SCHEDULERS.get(choice)
    if make is None:
        raise Unsupported(f"model '{parts.config.name}': there is no scheduler for {choice}; remove it")
    origin = parts.steps.origin if parts.steps is not None else None
    return with_layers(
        make(parts), parts.config, parts.layout, parts.clock, parts.statistics, parts.options.cache, origin
    )


# ------------------------------------------------------------------------------------------- without and with batching


def one_by_one(parts: Parts) -> Scheduler:
    """No scheduling chosen: first in, first out, every request on its own (config §5.5)."""
    if target_ns := slo_target_ns(parts.config):
        return slo(parts, target_ns)
    queue = FifoQueue(parts.options.queue_limits)
    return _batcher(parts, queue, one_at_a_time, BatcherOptions())


def dynamic_batching(parts: Parts) -> Scheduler:
    """Requests are coalesced. Any rule about the queue makes it a `PolicyQueue`, which is only touched when an instance
    is free (config §5.3)."""
    config, options = parts.config, parts.options
    if target_ns := slo_target_ns(config):
        return slo(parts, target_ns)
    rules = queue_rules(config.dynamic_batching)
    fastest = FastestBatch(config.max_batch_size, len(parts.runners)) if rules.any_timeout_rejects else None
    plain = rules.are_none
    queue: RequestQueue = (
        FifoQueue(options.queue_limits)
        if plain
        else PolicyQueue(rules, options.queue_limits, fastest.wait_ns if fastest is not None else None)
    )
    delays = config.dynamic_batching.max_queue_delay_microseconds > 0
    batching = BatcherOptions(prefetch=plain, hold_requests=options.hold_requests, delays=delays)
    decide = decide_by(_batch_policy(config), queue, _has_fixed_shapes(config))
    return _batcher(parts, queue, decide, batching, fastest)


def takes_what_fits(config: ModelConfig, equal_shapes: bool = False) -> bool:
    """Whether batches take from the queue what fits, perhaps after a delay: `dynamic_batching` has no rules about other
    sizes or single requests, and requests differ in their rows at most. `equal_shapes`: those in question do."""
    if not config.HasField("dynamic_batching") or not queue_rules(config.dynamic_batching).are_none:
        return False
    full_only = _batch_policy(config).stops == (config.max_batch_size,)
    return config.max_batch_size > 0 and full_only and (equal_shapes or _has_fixed_shapes(config))


def _batch_policy(config: ModelConfig) -> BatchPolicy:
    batching = config.dynamic_batching
    return BatchPolicy(
        max(1, config.max_batch_size),
        tuple(sorted(set(batching.preferred_batch_size))),
        batching.max_queue_delay_microseconds * 1000,
    )


SLO_PARAMETER = "slo_p99_ms"


def slo_target_ns(config: ModelConfig) -> int:
    """The latency target of a model, 0 without one. Raises InvalidArgument for what is no positive number."""
    if SLO_PARAMETER not in config.parameters:
        return 0
    text = config.parameters[SLO_PARAMETER].string_value
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise InvalidArgument(
            f"model '{config.name}': parameter '{SLO_PARAMETER}': expected a positive number of milliseconds, got "
            f"'{text}'"
        )
    return int(milliseconds * 1e6)


def slo(parts: Parts, target_ns: int) -> Scheduler:
    """Batches as large as a latency target allows; `dynamic_batching` says no more than that there are batches."""
    queue = SloQueue(target_ns, parts.config.max_batch_size, len(parts.runners), parts.options.queue_limits)
    return _batcher(parts, queue, queue.decide, BatcherOptions(prefetch=False), queue)


def queue_rules(batching: Message) -> QueueRules:
    """The queue policies of `dynamic_batching`, or of anything with the same fields."""
    default = _queue_policy(batching.default_queue_policy)
    if not batching.priority_levels:
        return QueueRules(default)
    policies = {level: _queue_policy(policy) for level, policy in batching.priority_queue_policy.items()}
    return QueueRules(default, batching.priority_levels, batching.default_priority_level, policies)


def _queue_policy(policy: Message) -> QueuePolicy:
    return QueuePolicy(
        policy.timeout_action == _QUEUE_POLICY.REJECT,
        policy.default_timeout_microseconds,
        policy.allow_timeout_override,
        policy.max_queue_size,
    )


def _has_fixed_shapes(config: ModelConfig) -> bool:
    return not any(-1 in item.dims or item.allow_ragged_batch or item.optional for item in config.input)


def _batcher(
    parts: Parts, queue: RequestQueue, decide: Decide, options: BatcherOptions, observer: BatchObserver | None = None
) -> Scheduler:
    """A batcher for the shapes of the model, with what goes around it."""
    config = parts.config
    ordered = config.dynamic_batching.preserve_ordering
    kind = OrderedAnswers if ordered else Answers
    answers = kind(parts.clock, parts.statistics, parts.options.outbox, config.name)
    options = replace(options, batches_rows=config.max_batch_size > 0, fixed_shapes=_has_fixed_shapes(config))
    batcher = Batcher(queue, decide, list(parts.runners), parts.clock, parts.statistics, answers, options, observer)
    limit_rate(batcher, parts)
    return Oversize(batcher, config.name, config.max_batch_size) if takes_oversize(config) else batcher


def answers_early(config: ModelConfig) -> bool:
    """Whether a request may be answered while its inputs are still read: as soon as a part of it fails or its client
    has gone, though another part runs; or before its answer, perhaps a view of them, is put into the cache."""
    return config.HasField("ensemble_scheduling") or takes_oversize(config) or config.response_cache.enable


# ----------------------------------------------------------------------------------------------------------- sequences


def sequence_batching(parts: Parts) -> Scheduler:
    """Requests belong together in sequences (config §6.1)."""
    assert parts.sequences is not None
    options = parts.options
    scheduler = SequenceScheduler(
        parts.sequences,
        parts.runners,
        parts.clock,
        parts.statistics,
        options.queue_limits,
        hold_requests=options.hold_requests,
        hold_backlog=options.hold_backlog,
    )
    limit_rate(scheduler, parts)
    return scheduler


# ----------------------------------------------------------------------------------------------------------- ensembles


def ensemble(parts: Parts) -> Scheduler:
    """No instances: every step is a request to another model (config §6.2)."""
    steps = parts.steps
    if steps is None:
        raise Unsupported(f"ensemble '{parts.config.name}': there are no other models here to run its steps")
    ragged = any(item.allow_ragged_batch for item in parts.config.input)
    return EnsembleScheduler(
        steps.graph, steps.find_model, parts.clock, parts.statistics, parts.options.outbox, joins=not ragged
    )


# -------------------------------------------------------------------------------------------------------- rate limiter


def limit_rate(batcher: Batcher | SequenceScheduler, parts: Parts) -> None:
    """Let the batcher ask the server's rate limiter, if there is one and some instance needs a resource. Raises
    InvalidArgument when the resources do not suffice for an instance."""
    limiter = parts.options.rate_limiter
    if limiter is None:
        return
    permits = {
        runner: _permit(parts.config, place, batcher.ask_turn)
        for runner, place in zip(parts.runners, parts.places, strict=True)
    }
    if any(permit.demands for permit in permits.values()):
        limiter.join(tuple(permits.values()))
        batcher.use_permits(Permits(limiter, permits))


def _permit(config: ModelConfig, place: PlacedInstance, wake: Callable[[], None]) -> Permit:
    wanted = config.instance_group[place.group].rate_limiter
    counts = {
        Resource(resource.name, None if getattr(resource, "global") else place.device.id): resource.count
        for resource in wanted.resources
    }
    return Permit([Demand(resource, count) for resource, count in counts.items()], wanted.priority, wake)


SCHEDULERS: Mapping[str, Callable[[Parts], Scheduler]] = {
    "": one_by_one,
    "dynamic_batching": dynamic_batching,
    "ensemble_scheduling": ensemble,
    "sequence_batching": sequence_batching,
}
"""Scheduler by the field of `scheduling_choice` that is set."""
