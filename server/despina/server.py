"""The server as a whole, as the endpoints see it: settings, models and state, made from the settings alone."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from threading import Semaphore

import despina
from despina.errors import InvalidArgument, Unavailable
from despina.grpc.tls import tls_context
from despina.http.body_budget import BodyBudget, body_budget
from despina.http.forwarding import HeaderForwarding
from despina.http.metrics import measured, open_metrics
from despina.http.request_templates import Templates
from despina.http.tls import check_tls
from despina.models.instance_processes import spare_cores
from despina.models.lifecycle import Models
from despina.models.loader import LoadedVersion
from despina.models.model import Model
from despina.models.schedulers import SchedulingOptions
from despina.protocol.decode import Limits
from despina.scheduling.clock import LoopClock
from despina.scheduling.outbox import Outbox
from despina.scheduling.rate_limiter import RateLimiter, Resource
from despina.scheduling.request_queue import QueueLimits
from despina.scheduling.response_cache import open_cache
from despina.settings import Settings
from despina.shared_memory.cuda import CudaOpener
from despina.shared_memory.regions import Regions
from despina.shared_memory.window import SharedMemory, Window
from despina.telemetry.logging import LogSettings, escapes_messages
from despina.telemetry.tracing.settings import TraceSettings
from despina_backends.cores import usable_cores
from despina_backends.onnxruntime.recording import GATE


class Server:
    """What the endpoints see: settings, models and state. Raises InvalidArgument for settings that cannot be met."""

    def __init__(self, settings: Settings, clock: LoopClock) -> None:
        self.settings = settings
        self.version = despina.__version__
        self.limits = Limits(settings.http_max_input_size)
        self.is_live = False
        self.is_exiting = False
        self.logging = log_settings(settings)
        self.trace = TraceSettings(settings.trace_config)
        self.shared_memory = Regions(open_cuda=CudaOpener(apart=GATE.transfers))
        pattern = settings.http_header_forward_pattern
        self.forwarding = HeaderForwarding(pattern) if pattern else None
        pattern = settings.grpc_header_forward_pattern
        self.grpc_forwarding = HeaderForwarding(pattern) if pattern else None
        check_tls(settings)
        if settings.allow_grpc:
            tls_context(settings)  # finds out whether its files are usable
        self._clock = clock
        self.cache = open_cache(settings.cache_config)
        self.outbox = Outbox()
        self._scheduling = replace(
            scheduling_options(settings), cache=self.cache, find_model=self._find_model, outbox=self.outbox
        )
        self.models: Models[Model] = Models(settings, self._make_model)
        self.metrics = open_metrics(self)

    def _make_model(self, loaded: LoadedVersion) -> Model:
        model = Model(
            loaded, self._clock, self._scheduling, self.metrics.statistics(), self.trace.settings_for(loaded.name)
        )
        scheduler = model.config.WhichOneof("scheduling_choice")
        model.templates = Templates(model, scheduler in ("sequence_batching", "ensemble_scheduling"), self.find_region)
        replaced = self.models.holding(model.name, model.version)
        self.metrics.loaded(measured(model), None if replaced is None else measured(replaced))
        return model

    def _find_model(self, name: str, version: int | None) -> Model:
        return self.models.for_ensembles(name, version)

    def find_region(self, place: SharedMemory) -> Window:
        """A piece of a registered shared memory region. Raises NotFound, InvalidArgument."""
        return self.shared_memory.find(place.region, place.offset, place.byte_size)

    @cached_property
    def body_budget(self) -> BodyBudget | None:
        """The room for request bodies that are arriving in this process, over whatever protocol; None for no limit."""
        return body_budget(self.settings)

    @property
    def is_ready(self) -> bool:
        return self.is_live and self.models.is_ready(self.settings.strict_readiness)

    def check_not_exiting(self) -> None:
        if self.is_exiting:
            raise Unavailable("Server exiting")


def log_settings(settings: Settings) -> LogSettings:
    return LogSettings(
        settings.log_file,
        settings.log_info,
        settings.log_warning,
        settings.log_error,
        settings.log_verbose,
        settings.log_format,
        escapes_messages(os.environ),
    )


def scheduling_options(settings: Settings) -> SchedulingOptions:
    return SchedulingOptions(
        QueueLimits(settings.max_queue_rows, settings.max_queue_bytes),
        usable_cores(),
        environment_count("TRITONSERVER_DELAY_SCHEDULER"),
        environment_count("TRITONSERVER_BACKLOG_DELAY_SCHEDULER"),
        rate_limiter(settings),
        processes=Semaphore(
            spare_cores(settings.http_workers) if settings.instance_processes is None else settings.instance_processes
        ),
    )


def environment_count(name: str) -> int:
    """A number of requests from the environment, 0 when it is not set. Raises InvalidArgument."""
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise InvalidArgument(f"environment variable {name}: expected a number of requests, got '{text}'")
    return int(text or 0)


def rate_limiter(settings: Settings) -> RateLimiter | None:
    """The one that all models share; None with `--rate-limit=off`."""
    if settings.rate_limit == "off":
        return None
    limits = {Resource(limit.name, limit.device): limit.count for limit in settings.rate_limit_resource}
    return RateLimiter(limits or None)
