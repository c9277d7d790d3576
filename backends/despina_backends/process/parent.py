"""The server's end of an instance's process."""

import os
import pickle
import subprocess
import time
from collections import deque
from contextlib import ExitStack, suppress
from mmap import mmap
from select import POLLIN, poll
from typing import Any

import numpy as np

from despina_backends import interpreter
from despina_backends.base import BackendError, Batch, Execution
from despina_backends.process.messages import RAN, RUN
from despina_backends.process.places import PLACES
from despina_backends.process.recipe import Recipe

_CPUCLOCK_SCHED = 2
"""From <linux/posix-timers.h>, where the number of the clock of a process is explained, too."""

START_SECONDS = 60.0
STOP_SECONDS = 5.0


class InstanceProcess:
    """Runs batches, in order and no more than `PLACES` at a time. The descriptor `answers` becomes readable whenever
    one has run, and when the process is gone."""

    def __init__(
        self, recipe: Recipe, process: "subprocess.Popen[bytes]", memory: mmap, runs: int, answers: int
    ) -> None:
        self.answers = answers
        self.pid = process.pid
        self._process = process
        self._runs = runs
        self._names = tuple(tensor.name for tensor in recipe.tensors.outputs)
        self._places = recipe.tensors.views(memory)
        self._sent = 0
        self._under_way: deque[tuple[int, int, tuple[str, ...]]] = deque()

    def send(self, batch: Batch) -> None:
        """Have a batch run. Raises OSError when the process is gone."""
        number = self._sent % PLACES
        inputs = self._places[number].inputs
        for name, parts in batch.inputs.items():
            np.concatenate(parts, out=inputs[name][: batch.rows])
        names = self._names if batch.outputs is None else tuple(batch.outputs)
        wanted = sum(1 << self._names.index(name) for name in names)
        os.write(self._runs, RUN.pack(number, batch.rows, wanted))
        self._under_way.append((number, batch.rows, names))
        self._sent += 1

    def receive(self) -> tuple[int, Execution | None]:
        """When the oldest batch under way began to run (`time.monotonic_ns`), and what came of it, None when it failed.
        Waits for that. Raises EOFError when the process is gone."""
        message = os.read(self.answers, RAN.size)
        if not message:
            raise EOFError
        succeeded, started_ns, input_end_ns, infer_end_ns = RAN.unpack(message)
        number, rows, names = self._under_way.popleft()
        if not succeeded:
            return started_ns, None
        outputs = self._places[number].outputs
        results = {name: outputs[name][:rows].copy() for name in names}
        return started_ns, Execution(results, input_end_ns, infer_end_ns)

    def worked_ns(self) -> int:
        """The processor time that the process has used; 0 when it is gone."""
        try:
            return time.clock_gettime_ns(~self.pid << 3 | _CPUCLOCK_SCHED)
        except OSError:
            return 0

    def close(self) -> None:
        """Let the process end after what it runs; does not wait for it."""
        os.close(self._runs)
        os.close(self.answers)

    def reap(self) -> None:
        """Wait until the closed process has ended. Blocks, at most some seconds: then it is killed."""
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_instance(recipe: Recipe) -> InstanceProcess:
    """A process that has loaded the model. Blocks for as long as that takes. Raises BackendError, OSError."""
    with ExitStack() as opened, ExitStack() as inherited:
        memory = os.memfd_create("despina-instance", os.MFD_CLOEXEC)
        inherited.callback(os.close, memory)
        os.ftruncate(memory, max(1, PLACES * recipe.tensors.place_bytes))
        runs, write_runs = os.pipe()
        inherited.callback(os.close, runs)
        opened.callback(os.close, write_runs)
        answers, write_answers = os.pipe()
        inherited.callback(os.close, write_answers)
        opened.callback(os.close, answers)
        process = _start(recipe, (memory, runs, write_answers))
        opened.callback(process.wait)
        opened.callback(process.kill)
        instance = InstanceProcess(recipe, process, mmap(memory, os.fstat(memory).st_size), write_runs, answers)
        inherited.close()
        started = poll()  # `select` takes no descriptors from 1,024 on, and clients have many
        started.register(answers, POLLIN)
        if not started.poll(START_SECONDS * 1000) or not os.read(answers, RAN.size):
            raise BackendError(f"a process of its own for model '{recipe.options.model_name}' did not start")
        opened.pop_all()
        return instance


def _start(recipe: Recipe, descriptors: tuple[int, int, int]) -> "subprocess.Popen[bytes]":
    process: subprocess.Popen[Any] = subprocess.Popen(
        interpreter.command("despina_backends.process", *descriptors),
        stdin=subprocess.PIPE,
        pass_fds=descriptors,
        env=interpreter.environment(),
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as recipe_pipe:
        pickle.dump(recipe, recipe_pipe)
    return process
