import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from despina.protocol.garbage_collector import LARGE_SIZE, collector_rests


@collector_rests
def decode(body: bytes, mark: int, fails: bool = False) -> int:
    lists = [[number] for number in range(20_000)]
    if fails:
        raise ValueError(mark)
    return len(lists) + mark


@contextmanager
def collections() -> Iterator[list[str]]:
    begun: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            begun.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        yield begun
    finally:
        gc.callbacks.remove(note)


@pytest.mark.parametrize(("size", "collects"), [(LARGE_SIZE - 1, True), (LARGE_SIZE, False)])
def test_only_while_a_large_body_is_decoded_nothing_is_collected(size: int, collects: bool) -> None:
    body = bytes(size)
    with collections() as begun:
        assert decode(body, 5) == 20_005
    assert bool(begun) is collects
    assert gc.isenabled()


def test_after_a_body_that_cannot_be_decoded_the_collector_is_on_again() -> None:
    with pytest.raises(ValueError, match="7"):
        decode(bytes(LARGE_SIZE), 7, fails=True)
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        decode(bytes(LARGE_SIZE), 1)
        assert not gc.isenabled()
    finally:
        gc.enable()
