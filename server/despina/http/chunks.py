"""A chunked body while it arrives (RFC 9112 §7.1), if it is plain.

Nothing is refused here. What the grammar allows and hardly anybody sends (extensions, trailers, zeros before a size) is
as unusual as what it forbids: then the application's parser reads the request from its beginning, and says what there
is to say.
"""

import re

_SIZE = re.compile(rb"([1-9a-fA-F][0-9a-fA-F]{0,7})\r\n")
_BEGUN_SIZE = re.compile(rb"[1-9a-fA-F][0-9a-fA-F]{0,7}\r?")
_LONGEST_SIZE = 10
_END = b"\r\n"
_LAST = b"0\r\n\r\n"

MOST_COLLECTED = 64 * 1024
"""Bytes of a request that does not come as a whole. Of larger ones the application counts how much has come."""

MOST_CHUNKS = 512
"""Of a body with more the application counts them: what is known of so many takes no more than what is collected."""


class Chunks:
    """Where the chunks of a body are in what has come of a request. The body begins at `begin`; `end` is 0 until all of
    it is here."""

    __slots__ = ("_next", "_places", "begin", "end")

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.end = 0
        self._next = begin
        self._places: list[tuple[int, int]] = []

    def find(self, request: bytes | bytearray) -> bool:
        """Go on behind the chunks that were found. `request` is all that has come by now. False when it is large, not
        plain, or not chunked as it should be."""
        while (size := _SIZE.match(request, self._next)) is not None:
            begin = size.end()
            end = begin + int(size[1], 16)
            if not request.startswith(_END, end):
                return end <= MOST_COLLECTED and _END.startswith(request[end : end + len(_END)])
            if len(self._places) == MOST_CHUNKS:
                return False
            self._places.append((begin, end))
            self._next = end + len(_END)
        if request.startswith(_LAST, self._next):
            self.end = self._next + len(_LAST)
            return True
        rest = request[self._next : self._next + _LONGEST_SIZE]
        begun = _LAST.startswith(rest) or _BEGUN_SIZE.fullmatch(rest) is not None
        return begun and len(request) <= MOST_COLLECTED

    def body(self, request: bytes | bytearray) -> memoryview:
        """What is in the chunks, copied where they are several."""
        parts = [memoryview(request)[begin:end] for begin, end in self._places]
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
