"""Answers from the response cache, in front of a model's scheduler.

A request is looked up before it is queued, so a hit waits for nobody, unless the model keeps its answers in order: then
a hit waits until everything before it has been answered.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial

from despina.errors import DespinaError
from despina.scheduling.clock import Clock
from despina.scheduling.pending import Pending
from despina.scheduling.response_cache import Key, ResponseCache, digest
from despina.scheduling.scheduler import Draining, Layer, Scheduler
from despina.telemetry.statistics import ModelStatistics
from despina_backends.base import Array

_log = logging.getLogger(__name__)

LARGE_BYTES = 128 * 1024
"""Inputs larger than this are hashed on a thread: at about 1 GB/s they would hold the event loop up."""

OnDone = Callable[[Pending], None]


class CachedRequests(Layer):
    """Looks requests up and remembers answers, for one model version. `outputs` are all it has. `ordered` keeps the
    order of the requests. `origin` tells what the answers of an ensemble are made by: those of another one are
    forgotten. `is_shared` tells whether a client can still change an input."""

    def __init__(
        self,
        inner: Scheduler,
        cache: ResponseCache,
        outputs: tuple[str, ...],
        clock: Clock,
        statistics: ModelStatistics,
        *,
        is_shared: Callable[[Array], bool],
        ordered: bool = False,
        origin: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(inner)
        self._cache = cache
        self._scope = cache.scope()
        self._origin = origin
        self._made_by = origin() if origin is not None else None
        self._outputs = outputs
        self._clock = clock
        self._statistics = statistics
        self._is_shared = is_shared
        self._line: dict[Pending, OnDone | None] | None = {} if ordered else None
        self._said_too_large = False
        self._hashed_apart = 0
        self._draining = Draining()

    @property
    def busy(self) -> bool:
        return bool(self._hashed_apart or self._line) or self._inner.busy

    def when_idle(self, callback: Callable[[], None]) -> None:
        if self._hashed_apart:
            self._draining.append(callback)
        else:
            self._inner.when_idle(callback)

    def close(self) -> None:
        self._cache.forget(self._scope)
        self._inner.close()

    def submit(self, pending: Pending) -> None:
        pending.queued_ns = self._clock.now_ns()
        if any(map(self._is_shared, pending.inputs.values())):
            # What is remembered has to be the answer to what was hashed, whatever becomes of the memory meanwhile.
            pending.inputs = {name: array.copy() for name, array in pending.inputs.items()}
        if pending.byte_size > LARGE_BYTES:
            self._hashed_apart += 1
            self._cache.hashing.submit(self._hash_apart, pending)
        else:
            self._look_up(pending, digest(pending.inputs))

    # ------------------------------------------------------------------------------------- inputs that are hashed apart

    def _hash_apart(self, pending: Pending) -> None:
        digested = digest(pending.inputs)
        self._clock.call_threadsafe(lambda: self._hashed(pending, digested))

    def _hashed(self, pending: Pending, digested: bytes) -> None:
        self._hashed_apart -= 1
        try:
            self._look_up(pending, digested)
        except DespinaError as error:
            pending.fail(error)
        else:
            if pending.cancelled:
                self._inner.request_gone(pending)
        if not self._hashed_apart:
            for callback in self._draining.take():
                self._inner.when_idle(callback)

    def request_gone(self, pending: Pending) -> None:
        pending.cancel()
        self._inner.request_gone(pending)

    # ------------------------------------------------------------------------------------------------- hits and misses

    def _look_up(self, pending: Pending, digested: bytes) -> None:
        started_ns = self._clock.now_ns()
        cache = self._cache
        if self._origin is not None:
            self._follow(self._origin())
        key = (self._scope, digested)
        results = cache.find(key, pending.outputs or self._outputs)
        lookup_ns = self._clock.now_ns() - started_ns
        cache.lookup_ns += lookup_ns
        if results is not None:
            cache.hits += 1
            pending.started_ns = started_ns
            pending.results = results
            self._wait_in_line(pending, partial(self._hit, lookup_ns))
            return
        cache.misses += 1
        self._miss(pending, key, lookup_ns)

    def _follow(self, made_by: object) -> None:
        """Forget the answers of others than those who would answer now. What is still on the way is not found again."""
        if made_by != self._made_by:
            self._made_by = made_by
            self._cache.forget(self._scope)
            self._scope = self._cache.scope()

    def _wait_in_line(self, pending: Pending, answer: OnDone) -> None:
        if self._line:
            self._line[pending] = answer
        else:
            answer(pending)

    def _hit(self, lookup_ns: int, pending: Pending) -> None:
        taken_ns = self._clock.now_ns() - pending.accepted_ns
        pending.on_done(pending)
        self._statistics.record_cache_hit(lookup_ns)
        if pending.error is None:
            # As in tritonserver, a hit was queued while its inputs were digested.
            self._statistics.record_success(taken_ns, pending.started_ns - pending.queued_ns)
        else:
            self._statistics.record_failure(taken_ns, "BACKEND")

    def _miss(self, pending: Pending, key: Key, lookup_ns: int) -> None:
        pending.on_done = partial(self._answered, pending.on_done, key, lookup_ns)
        if self._line is not None:
            self._line[pending] = None
        try:
            self._inner.submit(pending)
        except BaseException:
            self._step_out(pending)
            raise

    def _answered(self, on_done: OnDone, key: Key, lookup_ns: int, pending: Pending) -> None:
        on_done(pending)
        if pending.error is None and pending.results is not None:
            self._remember(key, pending.results, lookup_ns)
        elif pending.started_ns and self._origin is None:
            # As in tritonserver, a request that was executed and failed is a miss, and one of an ensemble is not.
            self._statistics.record_cache_miss(lookup_ns)
        self._step_out(pending)

    def _remember(self, key: Key, results: Mapping[str, Array], lookup_ns: int) -> None:
        """As in tritonserver, an answer that a request of the same moment has left meanwhile is no miss."""
        if self._cache.find(key, results) is not None:
            return
        started_ns = self._clock.now_ns()
        if not self._cache.insert(key, results):
            self._too_large(key)
        insertion_ns = self._clock.now_ns() - started_ns
        self._cache.insertion_ns += insertion_ns
        self._statistics.record_cache_miss(lookup_ns + insertion_ns)
        self._statistics.success.ns += insertion_ns

    def _too_large(self, key: Key) -> None:
        """Said once: the answers of a model are often equally large, and each would be a line."""
        if not self._said_too_large:
            self._said_too_large = True
            _log.error(
                "Failed to insert key [%s] into response cache: the answer is larger than the whole cache of %d bytes; "
                "raise --cache-config=local,size=<bytes>. Further ones are not reported",
                key[1].hex(),
                self._cache.capacity,
            )

    def _step_out(self, pending: Pending) -> None:
        """`pending` is answered: so may be the hits that only waited for it."""
        line = self._line
        if line is None:
            return
        line.pop(pending, None)
        while line:
            first, answer = next(iter(line.items()))
            if answer is None:
                return
            del line[first]
            answer(first)
