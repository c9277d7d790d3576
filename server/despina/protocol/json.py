"""JSON as the protocol speaks it.

orjson does the work. What it refuses but Triton's clients send (NaN and Infinity literals, invalid UTF-8 inside
strings, deep nesting, a BOM) goes through the standard library instead. Strings that are not UTF-8 carry surrogate
escapes; `encode_string` gives their bytes back. The accessors raise the texts the protocol uses for JSON of the wrong
type, which are Internal (500), not InvalidArgument.
"""

import json
import math
import re
from typing import Any

import orjson

from despina.errors import Internal
from despina.protocol.json_reasons import (
    STRING,
    STRING_OR_BRACKET,
    not_json,
    refuse,
    refuse_what_the_parser_lets_pass,
)

Json = Any

_STRING_OR_CONSTANT = re.compile(f"{STRING}|(?P<constant>-?NaN|-?Inf(?:inity|(?!i)))", re.DOTALL)
_CONSTANTS = {
    "NaN": math.nan,
    "-NaN": math.nan,
    "Inf": math.inf,
    "-Inf": -math.inf,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
_BOM = re.compile(rb"\xef?\xbb?\xbf?")
"""The real server skips each of the three bytes by itself, and counts it."""
_ONLY_TRITONS = ("Inf", "-Inf", "-NaN")
_CUT = 200


def loads(body: bytes | bytearray | memoryview) -> Json:
    """Parse a request body. Raises Internal with the parser's reason."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return loads_first_wins(body)


def loads_first_wins(body: bytes | bytearray | memoryview) -> Json:
    """Parse a document that may have a key more than once: the first one counts, as it does in the real server, for
    which the first NUL is the end."""
    document = bytes(body).partition(b"\0")[0]
    text = _BOM.sub(lambda bom: b" " * len(bom[0]), document, count=1).decode("utf-8", "surrogateescape")
    if not text.strip(" \t\r\n"):
        raise not_json("The document is empty.", len(text))
    value = _parse(text)
    refuse_what_the_parser_lets_pass(text)
    return value


def _parse(text: str) -> Json:
    try:
        return json.loads(text, object_pairs_hook=_first_wins)
    except RecursionError:
        return _loads_deep(text)
    except json.JSONDecodeError as error:
        if text.startswith(_ONLY_TRITONS, error.pos):
            return _parse_all_constants(text)
        refuse(text, error)
    except ValueError as error:
        refuse(text, error)


def _parse_all_constants(text: str) -> Json:
    """With the spellings only Triton's own parser knows. They are given others of the same length, so that the place
    of an error remains what it is, and their values in the order in which they come."""
    values: list[float] = []

    def spell(match: re.Match[str]) -> str:
        constant = match["constant"]
        if constant is None:
            return match.group()
        values.append(_CONSTANTS[constant])
        return "NaN".rjust(len(constant)) if constant in _ONLY_TRITONS else constant

    spelled = _STRING_OR_CONSTANT.sub(spell, text)
    constants = iter(values)
    try:
        return json.loads(spelled, object_pairs_hook=_first_wins, parse_constant=lambda _: next(constants))
    except RecursionError:
        return _loads_deep(text)
    except ValueError as error:
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


def dumps_texts(texts: list[str]) -> bytes:
    """The same of texts, among which no number need be looked for."""
    try:
        return orjson.dumps(texts)
    except TypeError:
        return _dumps_leniently(texts)


def _dumps_leniently(value: Json) -> bytes:
    return encode_string(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _has_non_finite(value: Json) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_non_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_non_finite(item) for item in value)
    return False


def encode_string(text: str) -> bytes:
    """The bytes of a JSON string as they were on the wire."""
    return text.encode("utf-8", "surrogateescape")


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
