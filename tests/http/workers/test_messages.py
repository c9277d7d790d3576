import numpy as np

from despina.http.workers.layout import (
    layout_of,
    wire_form,
)
from despina.http.workers.messages import INFER, RELEASE, FrameReader, frame
from despina.http.workers.request_kind import RequestKind, decode_kind


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


def test_a_kind_of_requests_is_read_as_it_was_written() -> None:
    layout = layout_of(wire_form({"a": np.zeros((2, 2), "<u8")})[0])
    for outputs in (None, ("x", "y")):
        kind = RequestKind(3, True, layout, 2, outputs, (1 << 64) - 1, 5)
        assert decode_kind(kind.encode()) == kind
