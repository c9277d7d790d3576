"""What requests of a kind are recognised by."""

from __future__ import annotations

from dataclasses import dataclass

from despina.http.fixed_text import tells_its_id_once, tells_its_sequence_id_once, without_id, without_sequence_id
from despina.protocol.messages import InferRequest


@dataclass(frozen=True, slots=True)
class Marks:
    """What `RequestTemplate` says of its members of these names."""

    fixed: tuple[bytes, ...]
    correlation_id: int | str | None


def marks_of(pieces: tuple[bytes, ...], request: InferRequest, stateful: bool, max_bytes: int) -> Marks | None:
    """Those of a request in `pieces`, up to `max_bytes` of them; None when they do not suffice. Where the model is
    `stateful`, each request of the kind may have a sequence id of its own."""
    request_id, first = without_id(pieces[0])
    pieces = (first, *pieces[1:])
    text = b"".join(pieces)
    if request_id != request.id or not tells_its_id_once(text) or len(text) > max_bytes or request.raw:
        return None
    if stateful:
        for number, piece in enumerate(pieces):
            correlation_id, rest = without_sequence_id(piece)
            if correlation_id is not None:
                once = tells_its_sequence_id_once(text) and correlation_id == request.correlation_id
                return Marks((*pieces[:number], rest, *pieces[number + 1 :]), None) if once else None
    return Marks(pieces, request.correlation_id)
