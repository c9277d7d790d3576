"""What is compressed can be read by everybody, and costs no more than it must."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import Any

import pytest

from despina.errors import DespinaError
from despina.http.compression import IN_THREAD_SIZE, compress, decompress, negotiate, work_size

SIZES = [0, 1, 255, 256, 511, 512, 8191, 8192, 32767, 32768, 100_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_any_reader_gets_back_what_was_compressed(size: int, encoding: str) -> None:
    body = random.Random(size).randbytes(size // 2) + b"0123456789" * (size // 20 + 1)
    packed = compress(body, encoding)
    assert (gzip.decompress(packed) if encoding == "gzip" else zlib.decompress(packed)) == body
    assert decompress(packed, encoding, len(body)) == body
    assert len(packed) <= len(zlib.compress(body, 6)) * 1.05 + 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_corrupt_stream_gives_what_comes_before_the_fault(encoding: str) -> None:
    body = random.Random(1).randbytes(100_000) + bytes(2_000_000)
    packed = compress(body, encoding)
    wrong_checksum = packed[:-8] + bytes(8) if encoding == "gzip" else packed[:-4] + bytes(4)
    assert decompress(wrong_checksum, encoding, len(body)) == body
    in_the_middle = packed[:50_000] + b"\xff" * 100 + packed[50_100:]
    assert body.startswith(decompress(in_the_middle, encoding, len(body))[:40_000])
    assert decompress(b"neither", encoding, 100) == b""


def test_an_encoding_without_a_name_is_not_supported() -> None:
    with pytest.raises(DespinaError, match="Unsupported compression type"):
        decompress(b"{}", "", 10)


def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(DespinaError, match="exceeds the maximum allowed value of 99 bytes"):
        decompress(gzip.compress(bytes(100)), "gzip", 99)
    deflater = zlib.compressobj()
    corrupt = deflater.compress(bytes(100)) + deflater.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 100
    with pytest.raises(DespinaError, match="exceeds the maximum allowed value of 99 bytes"):
        decompress(corrupt, "deflate", 99)
    assert decompress(corrupt, "deflate", 100) == bytes(100)


def test_only_what_is_around_the_fault_is_inflated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def copy(self) -> Counting:
            return Counting(self.inner.copy())

        def decompress(self, data: bytes, *most: int) -> bytes:
            piece: bytes = self.inner.decompress(data, *most)
            inflated.append(len(piece))
            return piece

    inflated: list[int] = []
    deflater = zlib.compressobj()
    corrupt = deflater.compress(bytes(50 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 100_000
    make = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda wbits: Counting(make(wbits)))
    assert len(decompress(corrupt, "deflate", 50 << 20)) == 50 << 20
    assert sum(inflated) <= 52 << 20


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", ""),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=0", ""),
        ("gzip;q=x, deflate", "deflate"),
        ("gzip;q=0.5;foo=1", "gzip"),
        ("gzip;q=0.1x, deflate;q=.2", "deflate"),
        ("gzip;q=", ""),
        ("gzip;q= +1E-1, deflate;q=.2e+0", "deflate"),
        ("gzip, deflate;q=Infinity", "deflate"),
        ("gzip;q=-1", ""),
        ("br, *", ""),
    ],
)
def test_the_highest_quality_wins_and_the_first_of_equals(accepted: str, encoding: str) -> None:
    assert negotiate(accepted) == encoding


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (b"", 0),
        (b"neither", 7),
        (compress(b"x" * 1000, "gzip"), 1000),
        (compress(bytes(10_000_000), "deflate"), IN_THREAD_SIZE),
        (compress(bytes(10_000_000), "gzip")[:-9], IN_THREAD_SIZE),
        (bytes(IN_THREAD_SIZE), IN_THREAD_SIZE),
    ],
)
def test_a_small_body_that_becomes_a_large_one_counts_as_large(body: bytes, size: int) -> None:
    assert work_size(body) == size
