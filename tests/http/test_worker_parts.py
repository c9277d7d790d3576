"""The parts that front ends and their owner are made of, in one process."""

import asyncio
import itertools
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.arenas import arena
from tests.support.serving import free_port

from despina.errors import Unavailable
from despina.http.workers.arena import CAPACITY
from despina.http.workers.front_process import kill_when_silent, processor_ticks
from despina.http.workers.layout import (
    GroupLayouts,
    layout_of,
    read_layout,
    wire_form,
)
from despina.http.workers.messages import INFER, RELEASE, FrameReader, frame
from despina.http.workers.patience import BEATS, BEATS_AT_START, BUSY_BEATS, Patience
from despina.http.workers.request_kind import RequestKind, decode_kind
from despina.http.workers.supervisor import next_delay, reserve_port
from despina.protocol.json import dumps, loads
from despina.settings import Settings


def test_frames_come_out_of_any_pieces_as_they_went_in() -> None:
    sent = [
        (INFER, 7, 1 << 40, b"id", b"kind", 65535),
        (RELEASE, 0, 4096, b"", b"", 0),
        (INFER, 2**32 - 1, 0, b"", b"x" * 500, 1),
    ]
    stream = b"".join(frame(*each) for each in sent)
    for size in (1, 23, 24, 25, len(stream)):
        reader = FrameReader()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [tuple(each) for piece in pieces for each in reader.feed(piece)] == sent


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


def test_patience_begins_anew_with_every_answer() -> None:
    patience = Patience()
    assert all(patience.beat(0) for _ in range(BEATS_AT_START))
    patience.answered()
    assert all(patience.beat(0) for _ in range(BEATS))
    patience.answered()
    assert [patience.beat(0) for _ in range(BEATS + 1)] == [*(True,) * BEATS, False]


def test_patience_with_a_front_end_that_works_is_greater_and_ends_too() -> None:
    patience = Patience()
    patience.answered()
    assert [patience.beat(worked) for worked in range(BUSY_BEATS + 1)] == [*(True,) * BUSY_BEATS, False]


def test_patience_with_a_front_end_that_works_no_more_is_as_with_one_that_hangs() -> None:
    patience = Patience()
    patience.answered()
    assert all(patience.beat(worked) for worked in range(1, 100))
    assert [patience.beat(99) for _ in range(BEATS + 1)] == [*(True,) * BEATS, False]


@pytest.mark.parametrize(("program", "killed"), [("import time; time.sleep(60)", True), ("while True: pass", False)])
def test_a_silent_process_that_works_is_not_killed(program: str, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.http.workers.front_process.BEAT_S", 0.05)

    class Silent:
        """The channel of a front end that answered once."""

        def __init__(self) -> None:
            self._patience = Patience()
            self._patience.answered()
            self.ping = self._patience.beat

    async def run() -> bool:
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", program)
        silent: Any = Silent()
        watching = asyncio.ensure_future(kill_when_silent(process, silent))
        await asyncio.wait([watching], timeout=15 if killed else 3 * BEATS * 0.05)
        was_killed = watching.done()
        if not was_killed:
            watching.cancel()
            process.kill()
        await process.wait()
        return was_killed

    assert asyncio.run(run()) == killed


def test_the_processor_time_of_a_process_that_is_gone_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert processor_ticks(process.pid) == 0


def test_tensors_of_every_kind_lie_side_by_side() -> None:
    tensors = {
        "floats": np.arange(6, dtype="<f4").reshape(2, 3),
        "turned": np.arange(6, dtype="<i8").reshape(2, 3).T,
        "flags": np.array([True, False, True]),
        "text": np.array([[b"", b"a\0"], [b"\xff", b"long" * 100]], object),
        "scalar": np.array(2.5),
        "none": np.empty((0, 4), "<f2"),
        "no text": np.empty(0, object),
    }
    with arena() as slots:
        key, written = wire_form(tensors)
        layout = layout_of(key)
        assert read_layout(loads(dumps(layout.described))) == layout
        slots.take(100)
        read = layout.read(slots.memory, layout.write(slots, written))
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert read[name].tolist() == tensor.tolist()


def test_the_tensors_of_a_group_lie_input_by_input() -> None:
    requests = [{"a": np.full((2, 3), number, "<f4"), "b": np.full((2,), 10 * number, "<i8")} for number in range(1, 4)]
    with arena() as slots:
        layouts = GroupLayouts(layout_of(wire_form(requests[0])[0]))
        layout = layouts.of(3)
        read = layout.read(slots.memory, layout.gather(slots, requests))
    assert read["a"].tolist() == [[1, 1, 1], [1, 1, 1], [2, 2, 2], [2, 2, 2], [3, 3, 3], [3, 3, 3]]
    assert read["b"].tolist() == [10, 10, 20, 20, 30, 30]
    assert layouts.of(3) is layout


def test_a_kind_of_requests_is_read_as_it_was_written() -> None:
    layout = layout_of(wire_form({"a": np.zeros((2, 2), "<u8")})[0])
    for outputs in (None, ("x", "y")):
        kind = RequestKind(3, True, layout, 2, outputs, (1 << 64) - 1, 5)
        assert decode_kind(kind.encode()) == kind


@pytest.mark.parametrize(
    ("last_s", "lived_s", "next_s"), [(0, 1, 0.1), (0.1, 0, 0.2), (0.2, 9, 0.4), (4, 1, 5), (5, 1, 5), (5, 20, 0)]
)
def test_front_ends_that_end_early_are_replaced_ever_later(last_s: float, lived_s: float, next_s: float) -> None:
    assert next_delay(last_s, lived_s) == next_s


def test_a_port_is_reserved_for_one_server_and_shared_only_where_that_is_wanted() -> None:
    settings = Settings(model_repository=(), http_address="127.0.0.1", http_port=free_port(), http_workers=2)
    with reserve_port(settings):
        for address in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(Unavailable, match="already in use"):
                reserve_port(replace(settings, http_address=address))
    sharing = replace(settings, reuse_http_port=True)
    with reserve_port(sharing), reserve_port(sharing):
        pass
