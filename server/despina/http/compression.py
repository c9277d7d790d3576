"""Content-Encoding of infer requests and responses (protocol §2.3, §3.2)."""

from __future__ import annotations

import re
import zlib

from despina.errors import InvalidArgument, Unsupported

LEVEL = 1
"""The quickest: 1,300 kB of numbers in JSON become 633 kB in 10 ms, at level 6, the usual one, 590 kB in 69 ms."""

_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf)", re.IGNORECASE | re.ASCII)

IN_THREAD_SIZE = 64 * 1024
"""Bodies of at least so many bytes are compressed and decompressed in a thread."""


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The decompressed body; `limit` bounds its bytes. A corrupt stream gives what could be inflated before the fault,
    of several gzip members only the first is read. Raises InvalidArgument, or Unsupported for other encodings: one
    without a name is among them, as in the real server."""
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise Unsupported("Unsupported compression type")
    if not body:
        raise InvalidArgument("nothing to be decompressed")
    inflater = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, told apart by their first bytes
    pieces: list[bytes] = []
    size = 0
    pending = body
    while pending and not inflater.eof:
        before = inflater.copy()
        try:
            piece = inflater.decompress(pending, 1 << 20)
            pending = inflater.unconsumed_tail
        except zlib.error:
            piece, pending = _until_the_fault(before, pending), b""
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise InvalidArgument(
                f"Decompressed data size exceeds the maximum allowed value of {limit} bytes. Use "
                "--http-max-input-size to increase the limit."
            )
    return b"".join(pieces)


def _until_the_fault(inflater: zlib._Decompress, pending: bytes) -> bytes:
    """What comes of the bytes before the faulty one in `pending`, of which `inflater` has been told nothing. The call
    that meets this one returns nothing, so it is looked for by halving what is left."""
    pieces: list[bytes] = []
    while len(pending) > 1:
        half, trial = len(pending) // 2, inflater.copy()
        try:
            pieces.append(trial.decompress(pending[:half]))
        except zlib.error:
            pending = pending[:half]
        else:
            inflater, pending = trial, pending[half:]
    return b"".join(pieces)


def decompress_small(body: memoryview, limit: int) -> bytes | None:
    """The same where that is sound, whole and shorter than IN_THREAD_SIZE, which takes little time. Else None."""
    if bytes(body[:2]) == b"\x1f\x8b" and int.from_bytes(body[-4:], "little") >= IN_THREAD_SIZE:
        return None  # gzip says at its end how much comes of it
    inflater = zlib.decompressobj(wbits=47)
    try:
        plain = inflater.decompress(body, IN_THREAD_SIZE)
    except zlib.error:
        return None
    return plain if inflater.eof and len(plain) <= limit else None


def work_size(body: bytes) -> int:
    """What to compare with IN_THREAD_SIZE before a body is decompressed: what it has, or what comes of it where that is
    more. 60 kB may become 60 MB."""
    try:
        beginning = zlib.decompressobj(wbits=47).decompress(body, IN_THREAD_SIZE) if len(body) < IN_THREAD_SIZE else b""
    except zlib.error:
        beginning = b""
    return max(len(body), len(beginning))


def compress(body: bytes, encoding: str) -> bytes:
    """`body` as `gzip` or `deflate` (which is the zlib format).

    Window and tables are no larger than the body needs: to set up those for 32 kB costs ten times what compressing an
    ordinary answer does."""
    window = min(zlib.MAX_WBITS, max(9, len(body).bit_length()))
    tables = 6 if len(body) < 8192 else 8
    deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, window + 16 if encoding == "gzip" else window, tables)
    return deflater.compress(body) + deflater.flush()


def negotiate(accept_encoding: str) -> str:
    """The encoding of a response: "gzip", "deflate" or "" for none. The highest q wins, the first of equals; `*` and
    spaces around `;q=` are not understood, and a number may be followed by anything, as in the real server."""
    best = ""
    best_quality = 0.0
    for item in accept_encoding.split(","):
        name, found, quality_text = item.lstrip().partition(";q=")
        number = _NUMBER.match(quality_text)
        if found and number is None:
            continue
        quality = float(number[0]) if number else 1.0
        if name in ("gzip", "deflate", "identity") and quality > best_quality:
            best, best_quality = name, quality
    return "" if best == "identity" else best
