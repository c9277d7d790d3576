"""Schedules the requests of a model whose requests belong together in sequences (config §6.1).

A sequence begins with a request that carries START and gets a slot on one of the model's instances, where it stays;
with no slot free it waits in the backlog together with what follows of it. It ends with END, or when it has had nothing
to do for too long, or when the client of one of its waiting requests hangs up: what comes after such a gap would be
computed from a state that lacks a part. What the instances do with their slots is their strategy (`sequence_direct`,
`sequence_oldest`).

A correlation id stands for a sequence only until the request with END has come: the same id may then begin anew while
the old sequence still runs. START on a live id goes on in the same slot and resets the state.

Everything here runs on the event loop's thread. As in `batcher`, a *turn* starts what can be started, after everything
that was ready on the sockets has been read.
"""

import logging
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from despina.errors import Cancelled, DespinaError, InvalidArgument, Unavailable
from despina.scheduling.clock import Clock
from despina.scheduling.pending import Pending
from despina.scheduling.permits import Permits
from despina.scheduling.request_queue import QueueLimits, queue_full
from despina.scheduling.returning_clients import ReturningClients
from despina.scheduling.runner import InstanceRunner
from despina.scheduling.scheduler import Draining
from despina.scheduling.sequence import Sequence, SequenceInstance, Slot
from despina.scheduling.sequence_answers import SequenceAnswers
from despina.scheduling.sequence_backlog import Backlog
from despina.scheduling.sequence_controls import check_sequence_request
from despina.scheduling.sequence_direct import DirectInstance
from despina.scheduling.sequence_oldest import OldestInstance
from despina.scheduling.sequence_plan import DirectStrategy, SequencePlan
from despina.scheduling.sequence_step import Steps
from despina.scheduling.throughput import Throughput
from despina.scheduling.turns import Turns
from despina.telemetry.statistics import ModelStatistics

_log = logging.getLogger(__name__)

EXPIRED = "timeout of the corresponding sequence has been expired"


class SequenceScheduler:
    """`hold_requests` keeps the first executions back until so many requests are queued in slots, and then, where the
    strategy is direct, until `hold_backlog` are in the backlog (TRITONSERVER_DELAY_SCHEDULER and
    TRITONSERVER_BACKLOG_DELAY_SCHEDULER, for tests that need exact batches)."""

    def __init__(
        self,
        plan: SequencePlan,
        runners: Iterable[InstanceRunner],
        clock: Clock,
        statistics: ModelStatistics,
        limits: QueueLimits,
        *,
        hold_requests: int = 0,
        hold_backlog: int = 0,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._statistics = statistics
        self._limits = limits
        self._hold_requests = hold_requests
        self._hold_backlog = hold_backlog
        self._steps = Steps(plan)
        self._instances = self._make_instances(runners)
        self._held = set(self._instances if hold_requests else ())
        self._free = [(number, index) for number in range(plan.slots) for index in range(len(self._instances))]
        self._landing: dict[int | str, Slot] = {}
        self._indices = {instance: index for index, instance in enumerate(self._instances)}
        self._live: dict[int | str, Sequence] = {}
        self._resting: dict[Sequence, int] = {}
        self._backlog = Backlog()
        self._waiting: dict[Pending, Sequence] = {}
        self._waiting_bytes = 0
        self._throughput = Throughput()
        self._returning_clients = ReturningClients()
        self._permits: Permits | None = None
        self._turns = Turns(clock, self._turn)
        self.ask_turn = self._turns.ask
        self._draining = Draining()

    def _make_instances(self, runners: Iterable[InstanceRunner]) -> list[SequenceInstance]:
        plan, strategy = self._plan, self._plan.strategy
        answers = SequenceAnswers(plan, self._clock, self._statistics)
        if isinstance(strategy, DirectStrategy):
            return [DirectInstance(runner, plan.slots, strategy, self, self._steps, answers) for runner in runners]
        return [OldestInstance(runner, strategy, self, self._steps, answers, self._clock) for runner in runners]

    def use_permits(self, permits: Permits) -> None:
        """Ask the rate limiter before every start. To be said before the first request."""
        self._permits = permits
        for instance in self._instances:
            instance.permits = permits

    @property
    def busy(self) -> bool:
        """Whether any taken request is unanswered. A sequence that may go on does not count."""
        return bool(self._waiting) or any(instance.running for instance in self._instances)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as nothing taken is unanswered. Nobody is expected to add to a sequence any more: one
        that has nothing to do makes room for the backlog at once."""
        self._draining.append(callback)
        self.ask_turn()

    def close(self) -> None:
        """The model is gone; nothing taken is unanswered."""
        self._turns.close()
        if self._permits is not None:
            self._permits.leave()

    # ------------------------------------------------------------------------------------------------------ requests

    def submit(self, pending: Pending) -> None:
        """Take a request. Raises InvalidArgument when it belongs to no sequence, Unavailable when too many wait."""
        check_sequence_request(self._plan, pending)
        sequence = self._live.get(pending.correlation_id)
        if sequence is None and not pending.sequence_start:
            raise InvalidArgument(
                f"inference request for sequence {pending.correlation_id} to model '{self._plan.model}' must specify "
                "the START flag on the first request of the sequence"
            )
        pending.queued_ns = self._clock.now_ns()
        self._check_limits(pending)
        if sequence is None:
            sequence = self._begin(pending.correlation_id)
        elif pending.sequence_start:
            _log.warning(
                "sequence %s for model '%s' has a conflict. The previous sequence did not end before this sequence "
                "start. Previous sequence will be terminated early.",
                pending.correlation_id,
                self._plan.model,
            )
        self._add(sequence, pending)
        self.ask_turn()

    def _check_limits(self, pending: Pending) -> None:
        waiting = len(self._waiting)
        # A request larger than the limit may still run when nothing else waits.
        if waiting and self._limits.exceeded_by(waiting + 1, self._waiting_bytes + pending.byte_size):
            self._statistics.rejected_queue_full += 1
            error = queue_full(pending)
            error.retry_after = self._throughput.seconds_for(waiting, pending.queued_ns)
            raise error

    def _begin(self, correlation_id: int | str) -> Sequence:
        sequence = self._live[correlation_id] = Sequence(correlation_id, self._steps.initial)
        if (slot := self._next_slot(correlation_id)) is not None:
            slot.take(sequence)
        else:
            self._backlog.append(sequence)
        return sequence

    def _next_slot(self, correlation_id: int | str) -> Slot | None:
        """A free slot, if possible one without the last request of another sequence, which would have to end first. For
        that of an earlier one with the same id a sequence does wait: the model may know both by that."""
        landing = self._landing
        if self._free and correlation_id not in landing:
            number, index = heappop(self._free)
            return self._instances[index].slots[number]
        return landing.pop(correlation_id if correlation_id in landing else next(iter(landing))) if landing else None

    def _add(self, sequence: Sequence, pending: Pending) -> None:
        self._resting.pop(sequence, None)
        if pending.sequence_end:
            del self._live[pending.correlation_id]
        self._waiting[pending] = sequence
        self._waiting_bytes += pending.byte_size
        self._statistics.pending += 1
        sequence.queue.append(pending)
        if sequence.slot is not None:
            sequence.slot.instance.arrived(sequence.slot)
        elif pending.timeout_us:
            self._backlog.limit(sequence, pending.queued_ns + pending.timeout_us * 1000)

    def request_gone(self, pending: Pending) -> None:
        """The client of a taken request hung up."""
        pending.cancel()
        sequence = self._waiting.get(pending)
        if sequence is not None:
            self._refuse(self._drop(sequence), self._given_up(sequence), "CANCELED")
            self.ask_turn()

    def _given_up(self, sequence: Sequence) -> Cancelled:
        return Cancelled(
            f"sequence {sequence.id} of model '{self._plan.model}' was given up because the client of one of its "
            "queued requests disconnected; start it again"
        )

    # ------------------------------------------------------------------------------------------- what instances tell

    def started(self, pending: Pending) -> None:
        """A request is about to run."""
        self._forget(pending)

    def release(self, slot: Slot) -> None:
        """The sequence of the slot has handed on its last request; the slot is for the next one."""
        if self._backlog:
            slot.take(self._backlog.pop())
            slot.instance.arrived(slot)
            return
        assert slot.sequence is not None
        slot.last_id, slot.sequence = slot.sequence.id, None
        if slot.in_flight and slot.last_id not in self._landing:
            self._landing[slot.last_id] = slot
        else:
            heappush(self._free, (slot.number, self._indices[slot.instance]))

    def landed(self, slot: Slot) -> None:
        """Nothing of the slot is with its instance any more."""
        if self._landing.get(slot.last_id) is slot:
            del self._landing[slot.last_id]
            heappush(self._free, (slot.number, self._indices[slot.instance]))

    def rested(self, sequence: Sequence) -> None:
        """A request of the sequence has been answered."""
        if not sequence.queue and self._live.get(sequence.id) is sequence:
            self._resting[sequence] = self._clock.now_ns() + self._plan.idle_ns

    def executed(self, requests: list[Pending], on_loop: bool) -> None:
        """An execution of these requests is over and everything about it is said. `on_loop`: on the loop's thread."""
        backlog = bool(self._waiting)
        self._throughput.batch_done(len(requests), self._clock.now_ns() if backlog else 0, backlog)
        self._returning_clients.ran(requests if on_loop else ())
        self.ask_turn()

    # -------------------------------------------------------------------------------------------------------- ending

    def _drop(self, sequence: Sequence) -> list[Pending]:
        """Forget a sequence. Returns what waits of it, in order."""
        if self._live.get(sequence.id) is sequence:
            del self._live[sequence.id]
        self._resting.pop(sequence, None)
        self._backlog.remove(sequence)
        slot = sequence.slot
        dropped = slot.instance.withdraw(sequence) if slot is not None else []
        dropped += sequence.queue
        sequence.queue.clear()
        for pending in dropped:
            self._forget(pending)
        if slot is not None and slot.sequence is sequence:
            self.release(slot)
        return dropped

    def _refuse(self, dropped: list[Pending], error: DespinaError, reason: str) -> None:
        now = self._clock.now_ns()
        for pending in dropped:
            self._statistics.record_failure(now - pending.accepted_ns, reason)
            pending.fail(Cancelled("") if pending.cancelled else error)

    def _forget(self, pending: Pending) -> None:
        """A request waits no more."""
        del self._waiting[pending]
        self._waiting_bytes -= pending.byte_size
        self._statistics.pending -= 1

    def _end_resting(self, now_ns: int) -> None:
        """Resting sequences stand in the order of their ends, as all may rest for equally long. Once nobody is expected
        to go on, they end when somebody needs their slot."""
        while self._resting:
            sequence, ends_ns = next(iter(self._resting.items()))
            if ends_ns > now_ns and not (self._backlog and self._draining):
                return
            self._drop(sequence)

    # --------------------------------------------------------------------------------------------------------- turns

    def _turn(self) -> None:
        self._turns.asked = False
        now = self._clock.now_ns()
        few = len(self._waiting) < max(1, self._plan.max_batch_size) and not self._draining
        if few and self._returning_clients.waits(self._waiting, len(self._waiting), now):
            self.ask_turn()
            return
        for sequence in self._backlog.expired(now):
            self._refuse(self._drop(sequence), Unavailable(EXPIRED), "REJECTED")
        self._end_resting(now)
        if self._held:
            self._let_go()
        wakes = [instance.run(now) for instance in self._instances if instance not in self._held]
        idle_ns = next(iter(self._resting.values())) if self._resting else 0
        self._turns.ask_at(*wakes, idle_ns, self._backlog.next_expiry_ns())
        if self._draining and not self.busy:
            for callback in self._draining.take():
                callback()

    def _let_go(self) -> None:
        """Stop holding back instances for which enough is queued; a direct one counts for all of them together."""
        if self._draining:
            self._held.clear()
        elif isinstance(self._plan.strategy, DirectStrategy):
            queued = sum(instance.queued for instance in self._instances)
            if queued >= self._hold_requests and self._backlog.queued >= self._hold_backlog:
                self._held.clear()
        else:
            self._held = {instance for instance in self._held if instance.queued < self._hold_requests}
