"""Trace settings of the server and of its models.

A field nobody set for a model follows the server's, and one nobody set for the server has its start value. A model
without fields of its own shares the server's sampler, so `trace_rate` then counts the requests of all such models
together, as in tritonserver.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from despina.errors import InvalidArgument
from despina.telemetry.tracing.file import TraceFile
from despina.telemetry.tracing.sampler import TraceSampler, TraceSink
from despina.telemetry.tracing.trace import Trace
from despina.telemetry.tracing.values import Changes, TraceValues, as_count, as_levels, as_natural, render

_log = logging.getLogger(__name__)

TraceConfig = Mapping[str, Mapping[str, Sequence[str]]]
"""Mode ("" = every mode) → setting → its values as text: the `--trace-config` flags."""

OPENTELEMETRY = "opentelemetry"
_COMMON = ("level", "rate", "count", "mode")
_NONE_LEFT = "trace count is 0"


class ModelTrace:
    """What a model holds: `active` says whether `sample` can return anything, so that tracing costs one attribute while
    it is off."""

    __slots__ = ("active", "sampler")

    def __init__(self, sampler: TraceSampler, active: bool) -> None:
        self.sampler = sampler
        self.active = active

    def sample(self, carrier: Mapping[str, str] | None = None) -> Trace | None:
        """The trace of the request that is arriving, None when it is not traced. `carrier` maps `traceparent` and
        `tracestate` to the request's headers; only the OpenTelemetry mode looks at it."""
        return self.sampler.sample(carrier) if self.active else None


@dataclass(frozen=True, slots=True)
class _Setting:
    """The fields set for the server or for one model, and the sampler that they and the inherited ones make."""

    own: dict[str, Any]
    sampler: TraceSampler

    def current(self) -> TraceValues:
        """The values in force; `count` is what remains of it."""
        return replace(self.sampler.values, count=self.sampler.remaining)


class TraceSettings:
    """All trace settings of a server. Raises InvalidArgument when the flags ask for what is not installed."""

    def __init__(self, config: TraceConfig | None = None, sink: TraceSink | None = None) -> None:
        config = config or {}
        common = config.get("", {})
        self.mode = trace_mode(config)
        options = {**common, **config.get(self.mode, {})}
        self.file = _last(options, "file") if self.mode == "triton" else ""
        self._options = {key: ",".join(values) for key, values in options.items() if key not in _COMMON}
        self._defaults = _start_values(options)
        self._sink = sink or self._open_sink(options)
        self._ids = count(1)
        self._server = _Setting({}, self._sampler(self._defaults))
        self._models: dict[str, _Setting] = {}
        self._views: dict[str, ModelTrace] = {}
        if self._defaults.levels and (problem := self._problem(self._defaults)):
            _log.warning("tracing is on but no request will be traced: %s", problem)

    def settings_for(self, model: str) -> ModelTrace:
        """The same object every time, following every change of the settings."""
        view = self._views.get(model)
        if view is None:
            view = self._views[model] = ModelTrace(*self._sampler_of(model))
        return view

    def render(self, model: str | None = None) -> dict[str, Any]:
        """The settings in force for a model or for the server, as the trace extension shows them."""
        rendered = render(self._setting(model).current())
        if self.mode == OPENTELEMETRY:
            del rendered["log_frequency"]
            return {**rendered, "trace_mode": self.mode, **self._options}
        return {**rendered, "trace_file": self.file, "trace_mode": self.mode}

    def update(self, changes: Changes, model: str | None = None) -> None:
        """Change the settings of the server or of one model. Raises InvalidArgument when nothing could be traced with
        them although a level is on; then nothing has changed (protocol §1.14)."""
        if model is None:
            self._update_server(changes)
        else:
            self._update_model(model, changes)
        self._refresh_views()

    def close(self) -> None:
        """Write what is kept and wait for it. To be called when no request is in flight any more."""
        for setting in (self._server, *self._models.values()):
            setting.sampler.retire()
        if self._sink is not None:
            self._sink.close()

    def _update_server(self, changes: Changes) -> None:
        values, own = self._merged(self._server, self._defaults, changes)
        self._check(values)
        followers = {name: self._merged(setting, values, {}) for name, setting in self._models.items()}
        for follower, _ in followers.values():
            self._check(follower)
        self._server = self._replaced(self._server, own, values)
        for name, (follower, follower_own) in followers.items():
            self._models[name] = self._replaced(self._models[name], follower_own, follower)

    def _update_model(self, model: str, changes: Changes) -> None:
        setting = self._models.get(model)
        values, own = self._merged(setting, self._server.current(), changes)
        if not own:
            if setting is not None:
                setting.sampler.retire()
                del self._models[model]
            return
        self._check(values)
        self._models[model] = self._replaced(setting, own, values)

    def _merged(
        self, setting: _Setting | None, fallback: TraceValues, changes: Changes
    ) -> tuple[TraceValues, dict[str, Any]]:
        """The values in force after `changes`, and which of them are set rather than inherited."""
        own = dict(setting.own) if setting is not None else {}
        if setting is not None and "count" in own:
            own["count"] = setting.sampler.remaining
        own = {field: value for field, value in {**own, **changes}.items() if value is not None}
        return replace(fallback, **own), own

    def _replaced(self, setting: _Setting | None, own: dict[str, Any], values: TraceValues) -> _Setting:
        if setting is not None:
            setting.sampler.retire()
        return _Setting(own, self._sampler(values))

    def _check(self, values: TraceValues) -> None:
        if values.levels and (problem := self._problem(values)):
            reason = "" if problem == _NONE_LEFT else problem  # tritonserver says nothing more of it
            raise InvalidArgument(f"Attempting to set invalid trace setting :{reason}")

    def _problem(self, values: TraceValues) -> str | None:
        """Why nothing can be traced with `values`, None where something can."""
        if not values.levels:
            return "tracing is disabled"
        if values.rate == 0:
            return "sample rate must be non-zero"
        if self._sink is None:
            return "trace file name is not given"
        return _NONE_LEFT if values.count == 0 else None

    def _sampler_of(self, model: str) -> tuple[TraceSampler, bool]:
        """The sampler, and whether it can trace anything."""
        sampler = self._setting(model).sampler
        return sampler, self._problem(sampler.values) is None

    def _setting(self, model: str | None) -> _Setting:
        return self._server if model is None else self._models.get(model, self._server)

    def _sampler(self, values: TraceValues) -> TraceSampler:
        return TraceSampler(values, self._sink, self._ids, joins=self.mode == OPENTELEMETRY)

    def _refresh_views(self) -> None:
        for model, view in self._views.items():
            view.sampler, view.active = self._sampler_of(model)

    def _open_sink(self, options: Mapping[str, Sequence[str]]) -> TraceSink | None:
        if self.mode == OPENTELEMETRY:
            from despina.telemetry.tracing.spans import open_exporter

            return open_exporter(options)
        return TraceFile(Path(self.file)) if self.file else None


def trace_mode(config: TraceConfig) -> str:
    """Where traces go."""
    return _last(config.get("", {}), "mode") or "triton"


def _last(options: Mapping[str, Sequence[str]], key: str) -> str:
    values = options.get(key, ())
    return values[-1] if values else ""


def _start_values(options: Mapping[str, Sequence[str]]) -> TraceValues:
    defaults = TraceValues()
    levels = options.get("level", ())
    rate, limit, frequency = (_last(options, key) for key in ("rate", "count", "log-frequency"))
    return TraceValues(
        as_levels(levels, len(levels)),
        as_natural("trace_rate", rate) if rate else defaults.rate,
        as_count(limit) if limit else defaults.count,
        as_natural("log_frequency", frequency) if frequency else defaults.log_frequency,
    )
