"""One loaded model version that serves: its signature, its scheduler and its counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from time import time_ns
from typing import Any

from despina.errors import InvalidArgument
from despina.models.admitted import Admitted
from despina.models.ensemble_steps import EnsembleSteps
from despina.models.grouping import group_rows
from despina.models.instance_processes import process_offer
from despina.models.loader import LoadedVersion
from despina.models.schedulers import Parts, SchedulingOptions, answers_early, make_scheduler
from despina.models.signature import Signature
from despina.models.text_inputs import takes_text
from despina.models.tracing import trace_request
from despina.models.warmup import WarmupExecution
from despina.protocol.messages import InferRequest
from despina.scheduling.clock import Clock
from despina.scheduling.ensemble_step import StepRequest
from despina.scheduling.inline_limit import inline_limit_ns
from despina.scheduling.pending import Pending
from despina.scheduling.runner import InstanceRunner
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.tracing.settings import ModelTrace
from despina.telemetry.tracing.trace import Trace
from despina_backends.base import Array, Device

_log = logging.getLogger(__name__)


class Model:
    """A serving model version. Lives on the event loop's thread; only `close` blocks and belongs on another."""

    def __init__(
        self,
        loaded: LoadedVersion,
        clock: Clock,
        options: SchedulingOptions,
        statistics: ModelStatistics,
        trace: ModelTrace,
    ) -> None:
        self.name = loaded.name
        self.version = loaded.version
        self.config = loaded.config
        self._labels = loaded.labels
        self.load_seconds = loaded.load_seconds
        self.signature = Signature(loaded.config)
        self.statistics = statistics
        self.trace = trace
        self.devices = sorted({_device_name(placed.device) for placed in loaded.instances})
        count_warmup(self.statistics, loaded.warmup)
        self.templates: Any = None
        """What the HTTP side remembers of requests for as long as this version lives; it sets this itself."""
        self.documents: dict[Hashable, bytes] = {}
        """What the HTTP side wrote about this version. It is not changed while it lives, so neither are they."""
        self._backend = loaded.backend
        # A GPU has others to serve, for whose batches a short one waits: nothing for the loop's thread.
        steady = loaded.backend is not None and loaded.backend.steady
        places = tuple(placed for placed in loaded.instances if not placed.passive)
        limit_ns = inline_limit_ns(options.cores, len(places)) if options.cores else 0
        self._runners = [
            InstanceRunner(
                placed.name,
                placed.instance,
                clock,
                steady and placed.device.kind == "CPU",
                limit_ns,
                process_offer(loaded, placed, options),
                placed.thread,
            )
            for placed in places
        ]
        self._clock = clock
        self._steps = EnsembleSteps.of(loaded.config, options.find_model)
        self._scheduler = make_scheduler(
            Parts(
                loaded.config,
                self._runners,
                places,
                clock,
                statistics,
                options,
                loaded.sequences,
                loaded.layout,
                self._steps,
            )
        )
        self.schedule = self._scheduler.submit
        """Hand an admitted request to the scheduler."""
        self.group_rows = group_rows(loaded.config, options, loaded.layout)
        """So many rows of requests may be scheduled as one, 0 for none."""
        self.step_rows = group_rows(loaded.config, options, loaded.layout, equal_shapes=True)
        """The same for requests whose inputs have equal shapes."""
        self.takes_text = takes_text(loaded)
        """Whether the texts of all BYTES inputs of a request may be `str`; those of its outputs may be so, then."""
        self.answers_early = answers_early(loaded.config)
        """Whether a request may be answered while its inputs are still read."""
        self._loaded = object()

    def submit(
        self,
        request: InferRequest,
        on_done: Callable[[Pending], None],
        trace: Trace | None = None,
        client: object = None,
    ) -> Pending:
        """Check a request against the model and hand it to the scheduler; `on_done` is called once with the answer.
        Raises DespinaError when it does not fit or cannot be taken."""
        admitted = self.signature.admit(request)
        outputs = tuple(sorted([output.name for output in request.outputs])) or None
        return self._submit(request, admitted, outputs, on_done, trace, client)

    def submit_step(self, request: StepRequest, on_done: Callable[[Pending], None]) -> Pending:
        """As `submit`, for a request of an ensemble: its tensors are arrays already, and they are not copied."""
        admitted = self.signature.admit_arrays(request.inputs, request.id)
        if request.count > 1 and admitted.rows != request.rows:
            raise InvalidArgument(f"expected {request.rows} rows for model '{self.name}', got {admitted.rows}")
        on_done = on_done if request.trace is None else self._traced(request.trace, on_done)
        return self._submit(request, admitted, request.outputs, on_done, request.trace, None, request.count)

    def _submit(
        self,
        request: InferRequest | StepRequest,
        admitted: Admitted,
        outputs: tuple[str, ...] | None,
        on_done: Callable[[Pending], None],
        trace: Trace | None,
        client: object,
        count: int = 1,
    ) -> Pending:
        pending = Pending(
            admitted.inputs,
            admitted.rows,
            on_done,
            admitted.shape_key,
            outputs,
            request.id,
            request.priority,
            request.timeout_us,
            admitted.byte_size,
            request.parameters,
            trace,
            client,
            request.correlation_id,
            request.sequence_start,
            request.sequence_end,
            count=count,
            empty=admitted.empty,
        )
        self._scheduler.submit(pending)
        return pending

    def _traced(self, trace: Trace, on_done: Callable[[Pending], None]) -> Callable[[Pending], None]:
        def trace_and_finish(pending: Pending) -> None:
            trace_request(trace, self.name, self.version, self.signature, pending)
            on_done(pending)

        return trace_and_finish

    def client_results(self, pending: Pending) -> dict[str, Array]:
        """The outputs of a successful request in the shapes that clients see; views where these differ."""
        signature = self.signature
        batches = signature.max_batch_size > 0
        return {
            name: signature.outputs[name].to_client(array, batches)
            for name, array in (pending.results or {}).items()
            if name in signature.outputs
        }

    @property
    def labels(self) -> Mapping[str, list[str]]:
        """Class names by output. An ensemble's outputs fall back to the names they have in its steps."""
        return self._labels if self._steps is None else {**self._steps.labels(), **self._labels}

    @property
    def origin(self) -> object:
        """What answers depend on besides their inputs: for an ensemble whatever its steps depend on now."""
        return self._loaded if self._steps is None else self._steps.origin()

    def request_gone(self, pending: Pending) -> None:
        """The client of a submitted request hung up."""
        self._scheduler.request_gone(pending)

    @property
    def instance_count(self) -> int:
        """Instances that take work."""
        return len(self._runners)

    @property
    def in_flight(self) -> bool:
        """Whether any submitted request is unanswered."""
        return self._scheduler.busy

    async def drain(self) -> None:
        """Return when every submitted request has been answered."""
        while self._scheduler.busy:
            idle = asyncio.Event()
            self._scheduler.when_idle(idle.set)
            await idle.wait()

    def close(self) -> None:
        """Free the instances and the backend. Blocks; call it in a thread, after `drain`."""
        self._clock.call_threadsafe(self._scheduler.close)
        for runner in self._runners:
            runner.close()
        if self._backend is not None:
            self._backend.close()
        self.statistics.is_final = True


def _device_name(device: Device) -> str:
    return f"GPU {device.id}" if device.kind == "GPU" else "CPU"


def count_warmup(statistics: ModelStatistics, executions: Iterable[WarmupExecution]) -> None:
    """Warm-up requests count like any others (protocol, correction 14)."""
    for run in executions:
        for _ in range(run.requests):
            statistics.record_success(run.queue_ns + run.input_ns + run.infer_ns + run.output_ns, run.queue_ns)
        statistics.record_execution(
            run.requests, run.rows, run.input_ns, run.infer_ns, run.output_ns, time_ns() // 1_000_000
        )
