"""Every rule of the batch decision, one row per case."""

from dataclasses import dataclass

import pytest

from despina.scheduling.batch_policy import NO_BATCH, BatchPolicy, Decision, OpenBatch, next_batch

NOW = 1_000
DELAY = 100
PLAIN = BatchPolicy(8)
SIZES = BatchPolicy(8, (4, 6))
WAITS = BatchPolicy(8, (), DELAY)
WAITS_FOR_SIZES = BatchPolicy(8, (2, 6), DELAY)
WAITS_FOR_FOUR = BatchPolicy(8, (4,), DELAY)


@dataclass
class Request:
    rows: int
    shape_key: object = None
    queued_ns: int = NOW


def queue(rows: str, shapes: str = "", age: int = 0) -> list[Request]:
    """Requests of so many rows, first the oldest, which has waited for `age`."""
    keys = shapes.split() or [None] * len(rows.split())
    return [Request(int(n), key, NOW - age) for n, key in zip(rows.split(), keys, strict=True)]


def send(take: int, reason: str, *, closed: bool = True) -> Decision:
    return Decision(take, closed, reason=reason)  # type: ignore[arg-type]


def wait(age: int = 0) -> Decision:
    return Decision(0, wake_ns=NOW - age + DELAY)


@pytest.mark.parametrize(
    ("policy", "requests", "expected"),
    [
        pytest.param(PLAIN, queue("1"), send(1, "idle", closed=False), id="no delay: a single request goes at once"),
        pytest.param(PLAIN, queue("1 1 1"), send(3, "idle", closed=False), id="no delay: whatever piled up goes"),
        pytest.param(PLAIN, queue("8 1"), send(1, "full"), id="a full request goes alone"),
        pytest.param(PLAIN, queue("1 1 1 1 1 1 1 1 1"), send(8, "full"), id="stops at the maximum"),
        pytest.param(PLAIN, queue("3 3 3"), send(2, "full"), id="sizes are rows, a request is not split"),
        pytest.param(PLAIN, queue("2 8 2"), send(1, "full"), id="no look-ahead past a request that does not fit"),
        pytest.param(PLAIN, queue("2 2 2", "a a b"), send(2, "shape"), id="stops at another shape"),
        pytest.param(PLAIN, queue("2 2 2", "a b a"), send(1, "shape"), id="no look-ahead past another shape"),
        pytest.param(PLAIN, queue("9"), send(1, "full"), id="a first request beyond the maximum is not held back"),
        pytest.param(BatchPolicy(1), queue("1 1"), send(1, "full"), id="maximum 1: one by one"),
        pytest.param(SIZES, queue("1 1 1"), send(3, "idle", closed=False), id="no preferred size reached: all go"),
        pytest.param(SIZES, queue("1 1 1 1"), send(4, "preferred"), id="a preferred size"),
        pytest.param(SIZES, queue("1 1 1 1 1"), send(4, "preferred"), id="the rest waits for the next batch"),
        pytest.param(SIZES, queue("1 1 1 1 1 1"), send(6, "preferred"), id="the largest reachable preferred size"),
        pytest.param(
            SIZES, queue("1 1 1 1 1 1 1 1 1"), send(6, "preferred"), id="not beyond the largest preferred size"
        ),
        pytest.param(
            SIZES, queue("1 1 1 1 1 2"), send(4, "preferred"), id="a preferred size is never reached by splitting"
        ),
        pytest.param(SIZES, queue("3 2 3"), send(2, "preferred"), id="before exceeding the largest preferred size"),
        pytest.param(SIZES, queue("7"), send(1, "preferred"), id="a request larger than every preferred size goes"),
        pytest.param(SIZES, queue("5 5"), send(1, "preferred"), id="5 rows, 5 more would exceed"),
        pytest.param(SIZES, queue("4 1 1", "a a b"), send(1, "preferred"), id="a preferred size before another shape"),
        pytest.param(SIZES, queue("3 1", "a b"), send(1, "shape"), id="another shape before a preferred size"),
        pytest.param(
            BatchPolicy(8, (4, 8)), queue("4 4"), send(2, "full"), id="a preferred size that is the maximum is full"
        ),
        pytest.param(WAITS, queue("1"), wait(), id="delay: a lone request waits"),
        pytest.param(WAITS, queue("1 1", age=30), wait(30), id="delay: counted from the oldest request"),
        pytest.param(
            WAITS, [Request(1), Request(1, None, NOW - 30)], wait(30), id="delay: which may be behind an urgent one"
        ),
        pytest.param(
            WAITS, queue("6") + queue("3", age=30), send(1, "full"), id="delay: one behind the batch does not matter"
        ),
        pytest.param(WAITS, queue("1 1", age=DELAY), send(2, "delay", closed=False), id="delay: over"),
        pytest.param(WAITS, queue("4 4"), send(2, "full", closed=False), id="delay: a full batch does not wait"),
        pytest.param(WAITS, queue("4 4 1"), send(2, "full", closed=False), id="delay: full, with a rest"),
        pytest.param(WAITS, queue("6 3"), send(1, "full"), id="delay: the next one does not fit"),
        pytest.param(WAITS, queue("1 1", "a b"), send(1, "shape"), id="delay: another shape sends what is there"),
        pytest.param(WAITS_FOR_SIZES, queue("1"), wait(), id="delay and sizes: none reached"),
        pytest.param(
            WAITS_FOR_SIZES, queue("1 1"), send(2, "preferred", closed=False), id="delay and sizes: one reached"
        ),
        pytest.param(
            WAITS_FOR_SIZES, queue("1 1 1"), send(2, "preferred", closed=False), id="delay and sizes: the rest waits"
        ),
        pytest.param(
            WAITS_FOR_SIZES, queue("1 1 1", age=DELAY), send(3, "delay", closed=False), id="delay over: all go"
        ),
        pytest.param(WAITS_FOR_SIZES, queue("1 1", "a b"), send(1, "shape"), id="delay and sizes: another shape"),
        pytest.param(WAITS_FOR_FOUR, queue("3 2"), send(1, "preferred"), id="delay and sizes: the next one exceeds"),
        pytest.param(
            WAITS_FOR_FOUR, queue("1 1 1 1 1 1", age=DELAY), send(6, "delay"), id="delay over: beyond the preferred"
        ),
        pytest.param(WAITS_FOR_FOUR, queue("4 4", age=DELAY), send(2, "full"), id="delay over: full"),
    ],
)
def test_a_new_batch(policy: BatchPolicy, requests: list[Request], expected: Decision) -> None:
    assert next_batch(requests, NOW, policy, NO_BATCH) == expected


@pytest.mark.parametrize(
    ("policy", "batch", "requests", "expected"),
    [
        pytest.param(
            PLAIN, OpenBatch(3), queue("1 1"), send(2, "idle", closed=False), id="no delay: an open batch grows"
        ),
        pytest.param(PLAIN, OpenBatch(3), queue("5"), send(1, "full"), id="until it is full"),
        pytest.param(
            PLAIN, OpenBatch(3), queue("6"), Decision(0, True, reason="full"), id="closed by what does not fit"
        ),
        pytest.param(PLAIN, OpenBatch(3), queue("4 2"), send(1, "full"), id="takes what fits, then closes"),
        pytest.param(
            PLAIN, OpenBatch(3, "a"), queue("1", "b"), Decision(0, True, reason="shape"), id="closed by a shape"
        ),
        pytest.param(
            PLAIN, OpenBatch(3, "a"), queue("1 1", "a b"), send(1, "shape"), id="takes its shape, then closes"
        ),
        pytest.param(PLAIN, OpenBatch(8), queue("1"), Decision(0, True, reason="full"), id="full already"),
        pytest.param(
            SIZES, OpenBatch(1), queue("1 1 1"), send(3, "preferred"), id="closed at the first preferred size"
        ),
        pytest.param(
            SIZES, OpenBatch(1), queue("1 1 1 1 1 1"), send(5, "preferred"), id="at the largest reachable one"
        ),
        pytest.param(
            SIZES, OpenBatch(5), queue("2"), send(1, "preferred"), id="beyond the preferred sizes it is closed"
        ),
        pytest.param(
            WAITS, OpenBatch(2), queue("1"), send(1, "idle", closed=False), id="delay: what waited already is joined"
        ),
        pytest.param(
            WAITS_FOR_FOUR, OpenBatch(4), queue("1"), send(1, "preferred"), id="delay: a preferred batch grows once"
        ),
        pytest.param(WAITS_FOR_SIZES, OpenBatch(2), queue("1"), wait(), id="delay: a preferred batch is left as it is"),
    ],
)
def test_an_open_batch(policy: BatchPolicy, batch: OpenBatch, requests: list[Request], expected: Decision) -> None:
    assert next_batch(requests, NOW, policy, batch) == expected


def test_nothing_queued_decides_nothing() -> None:
    assert next_batch([], NOW, PLAIN).take == 0


def test_scanning_ends_at_the_maximum_however_long_the_queue() -> None:
    looked_at = []

    def endless() -> object:
        while True:
            looked_at.append(1)
            yield Request(1)

    next_batch(endless(), NOW, SIZES)  # type: ignore[arg-type]
    assert len(looked_at) <= 9
