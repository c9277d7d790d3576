"""Frames out of bytes that come in any pieces."""

from time import process_time

from despina.grpc.http2.frame_reader import MAX_FRAME, FrameReader
from despina.grpc.http2.frames import PREFACE, Flag, Kind, frame


def seconds_for(payload: int) -> float:
    """Of the processor, to take one padded frame of data in pieces of 16 bytes."""
    taken: list[int] = []
    reader = FrameReader(lambda kind, flags, stream, data, begin, end: taken.append(end - begin))
    reader.feed(PREFACE)
    data = frame(Kind.DATA, Flag.PADDED, 1, bytes(payload))
    begin_s = process_time()
    for at in range(0, len(data), 16):
        reader.feed(data[at : at + 16])
    assert taken == [payload]
    return process_time() - begin_s


def test_a_frame_in_small_pieces_takes_time_by_its_size() -> None:
    assert seconds_for(MAX_FRAME) < 40 * seconds_for(MAX_FRAME // 8)
