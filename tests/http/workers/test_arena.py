import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.support.arenas import arena
from tests.support.channels import raising

from despina.errors import Unavailable
from despina.http.workers.arena import CAPACITY
from despina.http.workers.front_lane import FrontLane


def test_a_body_that_shared_memory_has_no_room_for_is_received_elsewhere() -> None:
    lane = object.__new__(FrontLane)
    lane._channel = cast("Any", SimpleNamespace(room=raising(Unavailable("full"))))
    assert len(lane._room(5)) == 5


def test_slots_in_use_do_not_overlap() -> None:
    with arena() as slots:
        taken = [(slots.take(size), size) for size in (1, 4096, 4097, 0, 100_000, 1)]
        ordered = sorted(taken)
        assert all(offset + size <= after for (offset, size), (after, _) in itertools.pairwise(ordered))


def test_a_slot_that_is_given_back_is_taken_again() -> None:
    with arena() as slots:
        offset = slots.take(5000)
        slots.give(offset)
        assert slots.take(8192) == offset
        assert slots.taken == 1


def test_memory_of_free_slots_is_kept_up_to_a_limit() -> None:
    with arena(kept_bytes=1 << 20) as slots:
        offsets = [slots.take(1 << 20) for _ in range(4)]
        for offset in offsets:
            slots.memory[offset : offset + (1 << 20)] = b"x" * (1 << 20)
        for offset in offsets:
            slots.give(offset)
        assert slots.free_bytes == 1 << 20
        kept = [slots.memory[offset] for offset in offsets]
        assert kept == [ord("x"), 0, 0, 0]  # what was returned to the system reads as zeros
        assert sorted(slots.take(1 << 20) for _ in range(4)) == sorted(offsets)
        assert slots.free_bytes == 0


def test_a_slot_is_never_smaller_than_what_was_asked_for() -> None:
    with arena() as slots:
        half, quarter, _ = [slots.take(CAPACITY // share) for share in (2, 4, 4)]
        slots.give(quarter)
        with pytest.raises(Unavailable, match="no shared memory left"):
            slots.take(CAPACITY // 2)
        slots.give(half)
        assert slots.take(CAPACITY // 2) == half


def test_an_arena_has_an_end() -> None:
    with arena() as slots, pytest.raises(Unavailable, match="no shared memory left"):
        slots.take(1 << 40)


def test_an_arena_that_is_used_up_lends_larger_slots_for_smaller_tensors() -> None:
    with arena() as slots:
        halves = [slots.take(CAPACITY // 2), slots.take(CAPACITY // 2)]
        for offset in halves:
            slots.give(offset)
        small = [slots.take(100), slots.take(5000)]
        assert sorted(small) == sorted(halves)
        with pytest.raises(Unavailable, match="no shared memory left for tensors of 100 bytes"):
            slots.take(100)
        for offset in small:
            slots.give(offset)
        assert slots.take(CAPACITY // 2) in halves
