"""Which requests are traced, and when their traces are written.

A sampler belongs to one set of values and is replaced, not changed, when they change: requests that are being traced
end in the sampler they began with. Everything here runs on the event loop's thread.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from despina.telemetry.tracing.thread import Groups
from despina.telemetry.tracing.trace import Trace
from despina.telemetry.tracing.values import TraceValues


class TraceSink(Protocol):
    """Takes the traces of finished requests and returns at once."""

    def append(self, groups: Groups) -> None: ...

    def save_numbered(self, groups: Groups) -> None: ...

    def close(self) -> None: ...


class TraceSampler:
    """Traces one request in `values.rate`, until `values.count` of them have been taken; with `joins`, also every
    request that is part of a trace elsewhere, which does not use the count up."""

    def __init__(self, values: TraceValues, sink: TraceSink | None, ids: Iterator[int], joins: bool = False) -> None:
        self.values = values
        self.remaining = values.count
        self._sink = sink
        self._ids = ids
        self._joins = joins
        self._seen = 0
        self._open = 0
        self._kept: list[list[Trace]] = []
        self._retired = False

    def sample(self, carrier: Mapping[str, str] | None = None) -> Trace | None:
        """`carrier` holds the `traceparent` and `tracestate` headers of the request, if it has them."""
        self._seen += 1
        chosen = self._seen % self.values.rate == 0 and self.remaining != 0
        if not chosen and not (self._joins and carrier and "traceparent" in carrier):
            return None
        if chosen and self.remaining > 0:
            self.remaining -= 1
        self._open += 1
        return Trace(self._ids, self.values.levels, self._finish, carrier)

    def retire(self) -> None:
        """Nothing is sampled any more; what was kept is written when the last open trace is closed."""
        self._retired = True
        self._flush_if_last()

    def _finish(self, group: list[Trace]) -> None:
        self._open -= 1
        self._kept.append(group)
        if self._is_complete():
            self._write(numbered=True)
        elif self.values.count < 0 and self.values.log_frequency == 0:
            self._write(numbered=False)
        self._flush_if_last()

    def _is_complete(self) -> bool:
        """Enough for a numbered file: `log_frequency` traces, or the last of `count`."""
        frequency = self.values.log_frequency
        return (self.remaining == 0 and self._open == 0) or (frequency != 0 and len(self._kept) >= frequency)

    def _flush_if_last(self) -> None:
        if self._retired and self._open == 0 and self._kept:
            self._write(numbered=self.values.log_frequency != 0)

    def _write(self, numbered: bool) -> None:
        kept, self._kept = self._kept, []
        if self._sink is not None:
            (self._sink.save_numbered if numbered else self._sink.append)(kept)
