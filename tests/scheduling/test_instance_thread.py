import threading
import weakref
from collections.abc import Iterator

import pytest

from despina.scheduling.instance_thread import InstanceThread, OnThread
from despina_backends.base import BackendError, Batch, Execution

BATCH = Batch({}, 1)


class Instance:
    """Remembers the threads it ran on, and fails if it is told to."""

    def __init__(self) -> None:
        self.ran_on: list[threading.Thread] = []
        self.error: BaseException | None = None
        self.closed = False

    def execute(self, batch: Batch) -> Execution:
        self.ran_on.append(threading.current_thread())
        if self.error is not None:
            raise self.error
        return Execution({}, 1, 2)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def thread() -> Iterator[InstanceThread]:
    made = InstanceThread("despina-x_0")
    yield made
    made.close()


def test_everything_is_done_on_one_thread_and_in_order(thread: InstanceThread) -> None:
    done: list[tuple[int, str]] = []
    for number in range(3):
        thread.post(lambda number=number: done.append((number, threading.current_thread().name)))
    thread.close()
    assert done == [(number, "despina-x_0") for number in range(3)]


def test_a_thread_that_has_nothing_to_do_is_not_started(thread: InstanceThread) -> None:
    before = threading.active_count()
    InstanceThread("other").close()
    assert threading.active_count() == before


def test_what_was_done_is_not_kept_until_there_is_something_else_to_do(thread: InstanceThread) -> None:
    class Work:
        def __call__(self) -> None:
            pass

    work, gone = Work(), threading.Event()
    weakref.finalize(work, gone.set)
    thread.post(work)
    del work
    assert gone.wait(10)


def test_batches_of_any_thread_run_on_the_instances_own(thread: InstanceThread) -> None:
    inner = Instance()
    instance = OnThread(inner, thread)
    assert [instance.execute(BATCH).infer_end_ns for _ in range(2)] == [2, 2]
    (own,) = set(inner.ran_on)
    assert own.name == "despina-x_0"
    thread.close()
    assert not own.is_alive()
    instance.close()
    assert inner.closed


@pytest.mark.parametrize("error", [BackendError("boom"), RuntimeError("of the backend"), SystemExit(1)])
def test_what_a_batch_raises_is_raised_where_it_was_asked_for(thread: InstanceThread, error: BaseException) -> None:
    inner = Instance()
    inner.error = error
    with pytest.raises(type(error)) as caught:
        OnThread(inner, thread).execute(BATCH)
    assert caught.value is error
    inner.error = None
    OnThread(inner, thread).execute(BATCH)
    assert len(set(inner.ran_on)) == 1


def test_without_a_thread_a_batch_is_an_error_and_the_next_one_tries_again(
    thread: InstanceThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    instance = OnThread(Instance(), thread)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(BackendError, match="no thread to run on: can't start new thread") as caught:
            instance.execute(BATCH)
    assert caught.value.code == "UNAVAILABLE"
    assert instance.execute(BATCH).infer_end_ns == 2
