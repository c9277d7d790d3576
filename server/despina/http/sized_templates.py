"""Kinds of requests with texts as binary data, whose sizes their JSON tells: they are known by what is around these."""

from __future__ import annotations

from collections.abc import Sequence

from despina.http.request_template import SizedTemplate
from despina.http.tensor_sizes import split_at_sizes
from despina.remember import remember


class SizedTemplates:
    """The templates of such kinds, up to `most`, by the pieces of JSON around the sizes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[tuple[bytes, ...], SizedTemplate] = {}
        self._last: tuple[bytes, bytes, SizedTemplate] | None = None
        """What was before and behind the size in the last request that had one: the next one is likely to be of the
        same kind."""

    def like_last(self, text: bytes, size: int) -> SizedTemplate | None:
        """The template of a request with so many bytes behind its JSON `text`, if it is of the same kind as the last
        one, and tells that size."""
        if self._last is None:
            return None
        before, behind, template = self._last
        return template if text == b"%b%d%b" % (before, size, behind) else None

    def find(self, text: bytes) -> tuple[SizedTemplate | None, tuple[bytes, ...], Sequence[int]]:
        """The template of a request, if it is known, and the pieces and the sizes of its JSON `text`."""
        pieces, sizes = split_at_sizes(text)
        template = self._known.get(pieces)
        if template is not None and len(sizes) == 1:
            behind = pieces[1]
            before = text[: len(text) - len(behind) - len(b"%d" % sizes[0])]
            self._last = before, behind, template
        return template, pieces, sizes

    def keep(self, pieces: tuple[bytes, ...], template: SizedTemplate) -> None:
        """Know requests of this kind from now on."""
        remember(self._known, pieces, template, self._most)
        self._last = None
