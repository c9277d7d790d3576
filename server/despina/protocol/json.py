"""JSON as the protocol speaks it.

orjson does the work. What it refuses but Triton's clients send (NaN and Infinity literals, invalid UTF-8 inside
strings, deep nesting, a BOM) goes through the standard library instead. Strings that are not UTF-8 carry surrogate
escapes; `encode_string` gives their bytes back. The accessors raise the texts the protocol uses for JSON of the wrong
type, which are Internal (500), not InvalidArgument.
"""

import json
import re
from typing import Any

import orjson

from despina.errors import Internal
from despina.protocol.json_reasons import (
    STRING,
    STRING_OR_BRACKET,
    not_json,
    refuse,
    refuse_huge_numbers,
    refuse_lone_surrogates,
)

Json = Any

_BARE_INF = re.compile(r"(?<![\w\"])-?Inf(?!inity)\b")
_STRING = re.compile(f"({STRING})", re.DOTALL)
_CUT = 200


def loads(body: bytes | bytearray | memoryview) -> Json:
    """Parse a request body. Raises Internal with the parser's reason."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _loads_leniently(bytes(body))


def _loads_leniently(body: bytes) -> Json:
    if not body.strip(b" \t\r\n"):
        raise not_json("The document is empty.", len(body))
    text = body.removeprefix(b"\xef\xbb\xbf").rstrip(b"\x00").decode("utf-8", "surrogateescape")
    if "\\u" in text:
        refuse_lone_surrogates(text)
    value = _parse(text)
    refuse_huge_numbers(text)
    return value


def loads_first_wins(body: bytes | bytearray | memoryview) -> Json:
    """Parse a document that has a key more than once: the first one counts, as it does in the real server."""
    return _loads_leniently(bytes(body))


def _parse(text: str) -> Json:
    try:
        return json.loads(text, object_pairs_hook=_first_wins)
    except RecursionError:
        return _loads_deep(text)
    except ValueError as error:
        if "Inf" not in text:
            refuse(text, error)
        return _parse_bare_infinity(text, error)


def _parse_bare_infinity(text: str, error: ValueError) -> Json:
    """`Inf` outside of strings, a spelling only Triton's own parser knows."""
    pieces = _STRING.split(text)
    pieces[::2] = [_BARE_INF.sub(lambda m: m.group().replace("Inf", "Infinity"), piece) for piece in pieces[::2]]
    try:
        return json.loads("".join(pieces), object_pairs_hook=_first_wins)
    except (ValueError, RecursionError):
        refuse(text, error)


def _loads_deep(text: str) -> Json:
    """A document nested too deeply for both parsers: what lies deeper than any endpoint accepts counts as null. Of that
    only the brackets are looked at."""
    shallow, deepest = _without_depths(text)
    try:
        return json.loads(shallow, object_pairs_hook=_first_wins)
    except (ValueError, RecursionError) as error:
        raise Internal(
            f"failed to parse the request JSON buffer: nested {deepest} levels deep, which no field of a request needs"
        ) from error


def _without_depths(text: str) -> tuple[str, int]:
    """`text` cut at depth _CUT, and how deep it goes. Raises Internal when not every bracket is closed."""
    kept: list[str] = []
    start = depth = deepest = 0
    for piece in STRING_OR_BRACKET.finditer(text):
        mark = piece.group()
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth == _CUT + 1:
                kept.append(text[start : piece.start()])
        elif mark in "]}":
            if depth == _CUT + 1:
                kept.append("null")
                start = piece.end()
            depth -= 1
            if depth < 0:
                break
    if depth != 0:
        raise not_json("Invalid value.", len(text))
    return "".join(kept) + text[start:], deepest


def _first_wins(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, value in pairs:
        result.setdefault(key, value)
    return result


def dumps(value: Json) -> bytes:
    """Compact JSON; NaN and Infinity as bare literals, surrogate escapes as the bytes they stand for."""
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        return _dumps_leniently(value)
    if b"null" in encoded and _has_non_finite(value):
        return _dumps_leniently(value)
    return encoded


def _dumps_leniently(value: Json) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")


def _has_non_finite(value: Json) -> bool:
    if isinstance(value, float):
        return value != value or value in (float("inf"), float("-inf"))
    if isinstance(value, dict):
        return any(_has_non_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_non_finite(item) for item in value)
    return False


def encode_string(text: str) -> bytes:
    """The bytes of a JSON string as they were on the wire."""
    return text.encode("utf-8", "surrogateescape")


def as_object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Internal("attempt to access JSON non-object as object")
    return value


def as_array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise Internal("attempt to access JSON non-array as array")
    return value


def as_string(value: Json) -> str:
    if not isinstance(value, str):
        raise Internal("attempt to access JSON non-string as string")
    return value


def as_bool(value: Json) -> bool:
    if not isinstance(value, bool):
        raise Internal("attempt to access JSON non-boolean as boolean")
    return value


def as_unsigned(value: Json) -> int:
    """An integer in [0, 2**64)."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise Internal("attempt to access JSON non-unsigned-integer as unsigned-integer")
    return value


def member(container: Json, key: str) -> Json:
    """`container[key]`. Raises Internal when it is not an object or has no such member."""
    if not isinstance(container, dict) or key not in container:
        raise Internal(f"attempt to access non-existing object member '{key}'")
    return container[key]
