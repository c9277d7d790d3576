"""The text of a request without what changes from one request to the next: its ids and the data of its tensors."""

import re
from dataclasses import dataclass

from despina.errors import DespinaError
from despina.protocol.json import loads, loads_first_wins

_DATA = b'"data":'
_ID_STARTS = (b'{"id":"', b'{"id": "')
_SEQUENCE_ID = re.compile(rb'"sequence_id": ?(?:([1-9][0-9]{0,18})(?=[,}])|"([ !#-\[\]-~]{0,128})")')


def without_id(text: bytes) -> tuple[str, bytes]:
    """The id of a JSON object that begins with one, as those of Triton's clients do, and the text without the id's
    characters. Otherwise, or when reading the id takes a JSON parser, no id and all of the text."""
    if not text.startswith(_ID_STARTS):
        return "", text
    start = text.index(b'"', 6) + 1
    end = text.find(b'"', start)
    characters = text[start:end]
    if end < 0 or b"\\" in characters or not characters.isascii():
        return "", text
    identity = characters.decode("ascii")
    return (identity, text[:start] + text[end:]) if identity.isprintable() else ("", text)


def tells_its_id_once(text: bytes) -> bool:
    """Whether an object that begins with an id has no other one further on, however spelled."""
    return not text.startswith(_ID_STARTS) or (text.count(b'"id"') == 1 and b"\\" not in text)


def without_sequence_id(text: bytes) -> tuple[int | str | None, bytes]:
    """The first sequence id of a JSON text, and the text without the id's characters. None and all of the text when
    there is none, or reading it takes a JSON parser."""
    found = _SEQUENCE_ID.search(text)
    if found is None:
        return None, text
    number, characters = found.groups()
    start, end = found.span(2 if number is None else 1)
    return characters.decode("ascii") if number is None else int(number), text[:start] + text[end:]


def tells_its_sequence_id_once(text: bytes) -> bool:
    """Whether a text has one sequence id, however spelled, of whatever."""
    return text.count(b'"sequence_id"') == 1 and b"\\" not in text


@dataclass(frozen=True, slots=True)
class JsonParts:
    """A JSON text cut into its `data` arrays, at `spans`, and what is `fixed` before, between and after them."""

    fixed: tuple[bytes, ...]
    spans: tuple[tuple[int, int], ...]


def split_at_data(text: bytes) -> JsonParts | None:
    """Cut out the arrays behind every `"data":`, found by their brackets alone; None when there is none. Whether a
    piece really is an array is for the JSON parser to say."""
    fixed: list[bytes] = []
    spans: list[tuple[int, int]] = []
    position = 0
    while (mark := text.find(_DATA, position)) >= 0:
        start = mark + len(_DATA)
        while text[start : start + 1] == b" ":
            start += 1
        depth = 0
        while text[start + depth : start + depth + 1] == b"[":
            depth += 1
        end = text.find(b"]" * depth, start) if depth else -1
        if end < 0:
            return None
        fixed.append(text[position:start])
        position = end + depth
        spans.append((start, position))
    fixed.append(text[position:])
    return JsonParts(tuple(fixed), tuple(spans)) if spans else None


def spans_like(text: bytes, start: int, fixed: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """The spans of a text whose `fixed` pieces may be those of an earlier one; none when they are not. The first piece
    has been seen to end at `start`. Whether a span really is an array is for the JSON parser to say: if all of them
    are, they are the data."""
    if not text.endswith(fixed[-1]):
        return []
    spans: list[tuple[int, int]] = []
    for piece in fixed[1:-1]:
        end = text.find(piece, start)
        if end < 0:
            return []
        spans.append((start, end))
        start = end + len(piece)
    end = len(text) - len(fixed[-1])
    if end < start:
        return []
    spans.append((start, end))
    return spans


def holds_the_inputs(parts: JsonParts) -> bool:
    """Whether the pieces that were cut out are the data of the inputs, all of them, in order, and nothing else:
    `"data":` may stand anywhere, a key may be there twice or be written differently, and a piece may end too early.
    Told by parsing the document with a number in place of each piece."""
    text = parts.fixed[0] + b"".join([b"%d%b" % numbered for numbered in enumerate(parts.fixed[1:])])
    try:
        document = loads(text)
        if document != loads_first_wins(text):
            return False
        return [entry.get("data") for entry in document["inputs"]] == list(range(len(parts.spans)))
    except (DespinaError, AttributeError, KeyError, TypeError, RecursionError):
        return False
