import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import numpy as np
import pytest

from despina_backends.base import Batch, Execution
from despina_backends.onnxruntime import recording
from despina_backends.onnxruntime.recording import Gate, GatedInstance

SOON_S = 0.05
LATE_S = 10.0


def waits(future: Future[None]) -> bool:
    try:
        future.result(SOON_S)
    except NotYet:
        return True
    return False


class Inside:
    """Threads that go through a gate and stay there until they are let go."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._pool = ThreadPoolExecutor(8)

    def enter(self, kind: str) -> tuple[Future[None], Callable[[], None]]:
        """The future is done once inside; the function leaves."""
        inside: Future[None] = Future()
        leave = threading.Event()

        def work() -> None:
            with getattr(self.gate, kind)():
                inside.set_result(None)
                leave.wait(LATE_S)

        done = self._pool.submit(work)

        def end() -> None:
            leave.set()
            done.result(LATE_S)

        return inside, end


def test_runs_go_on_side_by_side() -> None:
    threads = Inside(Gate())
    first, leave_first = threads.enter("run")
    second, leave_second = threads.enter("run")
    first.result(LATE_S)
    second.result(LATE_S)
    leave_first()
    leave_second()


def test_a_recording_waits_for_the_runs_under_way_and_keeps_further_ones_out() -> None:
    threads = Inside(Gate())
    run, leave_run = threads.enter("run")
    run.result(LATE_S)
    record, leave_record = threads.enter("recording")
    assert waits(record)
    late, leave_late = threads.enter("run")
    assert waits(late)
    leave_run()
    record.result(LATE_S)
    assert waits(late)
    leave_record()
    late.result(LATE_S)
    leave_late()


def test_nobody_else_waits_for_a_long_run_that_a_recording_waits_for() -> None:
    threads = Inside(Gate(patience_s=SOON_S))
    long, leave_long = threads.enter("run")
    long.result(LATE_S)
    record, leave_record = threads.enter("recording")
    assert waits(record)
    for _ in range(3):
        short, leave_short = threads.enter("run")
        short.result(LATE_S)
        leave_short()
    assert waits(record)
    leave_long()
    record.result(LATE_S)
    late, leave_late = threads.enter("run")
    assert waits(late)
    leave_record()
    late.result(LATE_S)
    leave_late()


def test_a_recording_is_let_in_though_somebody_always_runs() -> None:
    gate, over = Gate(patience_s=SOON_S / 5), threading.Event()

    def run(delay_s: float) -> None:
        over.wait(delay_s)
        while not over.is_set():
            with gate.run():
                over.wait(SOON_S)

    def record() -> None:
        with gate.recording():
            pass

    with ThreadPoolExecutor(3) as pool:
        for number in range(2):
            pool.submit(run, number * SOON_S / 2)
        try:
            pool.submit(record).result(LATE_S)
        finally:
            over.set()


def test_one_recording_at_a_time() -> None:
    threads = Inside(Gate())
    first, leave_first = threads.enter("recording")
    first.result(LATE_S)
    second, leave_second = threads.enter("recording")
    assert waits(second)
    leave_first()
    second.result(LATE_S)
    leave_second()


def test_a_transfer_waits_for_a_recording_and_not_for_the_runs_that_it_waits_for() -> None:
    threads = Inside(Gate())
    run, leave_run = threads.enter("run")
    run.result(LATE_S)
    record, leave_record = threads.enter("recording")
    assert waits(record)
    with threads.gate.transfers:
        leave_run()
        assert waits(record)
    record.result(LATE_S)
    assert not threads.gate.transfers.acquire(blocking=False)
    leave_record()
    assert threads.gate.transfers.acquire(blocking=False)


def test_a_transfer_within_a_transfer_goes_on() -> None:
    gate = Gate()
    with gate.transfers, gate.transfers:
        pass


def test_the_gate_is_open_again_after_an_error() -> None:
    gate = Gate()
    for way in (gate.run, gate.recording, gate.run):
        with pytest.raises(KeyError), way():
            raise KeyError
    with gate.recording():
        pass


def test_an_instance_executes_and_closes_apart_from_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting:
        def __init__(self) -> None:
            self.did: list[str] = []

        def execute(self, batch: Batch) -> Execution:
            self.did.append(f"execute {batch.rows}")
            return Execution({}, 0, 0)

        def close(self) -> None:
            self.did.append("close")

    gate, inner = Gate(), Noting()
    monkeypatch.setattr(recording, "GATE", gate)
    instance = GatedInstance(inner, lambda: inner.did.append("enter"))
    threads = Inside(gate)
    with ThreadPoolExecutor(1) as pool:
        for work, what in (
            (lambda: instance.execute(Batch({"x": [np.zeros(1)]}, 1)), "execute 1"),
            (instance.close, "close"),
        ):
            record, leave = threads.enter("recording")
            record.result(LATE_S)
            done: Future[object] = pool.submit(work)
            with pytest.raises(NotYet):
                done.result(SOON_S)
            assert what not in inner.did
            leave()
            done.result(LATE_S)
            assert inner.did[-1] == what
    assert inner.did == ["execute 1", "enter", "close"]
