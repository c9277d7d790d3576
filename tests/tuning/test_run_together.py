import signal
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from despina.errors import InvalidArgument
from despina.tuning.run_together import run_together
from despina_backends.base import BackendError, Batch, Execution

BATCH = Batch({"x": [np.zeros((1, 1))]}, 1)


@dataclass
class Meeting:
    """An instance that runs only in company of all the others."""

    barrier: threading.Barrier
    runs: int = 0

    def execute(self, batch: Batch) -> Execution:
        self.barrier.wait(timeout=2)
        self.runs += 1
        return Execution({}, 0, 0)

    def close(self) -> None:
        pass


@dataclass
class Refusing:
    fails: bool
    seen: list[Batch] = field(default_factory=list)

    def execute(self, batch: Batch) -> Execution:
        self.seen.append(batch)
        if self.fails:
            raise BackendError("index out of range", "INVALID_ARG")
        return Execution({}, 0, 0)

    def close(self) -> None:
        pass


def test_one_instance_runs_three_times_and_once_to_warm_up() -> None:
    instance = Meeting(threading.Barrier(1))
    taken = run_together([instance], BATCH, 0.0)
    assert (len(taken), instance.runs) == (3, 4)


def test_instances_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3)
    # Whoever runs alone waits in vain, and none of its runs count.
    assert len(run_together([Meeting(barrier) for _ in range(3)], BATCH, 0.0)) == 9


def test_a_refused_batch_is_an_error_that_says_so() -> None:
    with pytest.raises(InvalidArgument, match=r"^a batch of 1 random rows failed: index out of range$"):
        run_together([Refusing(False), Refusing(True)], BATCH, 0.0)


class Interrupting:
    """Ctrl-C comes when it has run for a while."""

    def __init__(self) -> None:
        self.runs = 0

    def execute(self, batch: Batch) -> Execution:
        self.runs += 1
        threading.Event().wait(0.001)  # as a session does, it lets others run
        if self.runs == 20:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return Execution({}, 0, 0)

    def close(self) -> None: ...


def test_after_an_interrupt_nothing_runs_any_more() -> None:
    instance = Interrupting()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with `&` ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            run_together([instance], BATCH, 5.0)
    finally:
        signal.signal(signal.SIGINT, before)
    runs = instance.runs
    threading.Event().wait(0.05)
    assert instance.runs == runs
