"""Why a document is not JSON, in the words of the parser that Triton's clients know (rapidjson)."""

import json
import re
from typing import NoReturn

from despina.errors import Internal

# A string that never ends counts as one up to the end of the text: looking for its end again from every quotation mark
# in it would take forever. For the same reason nothing here may backtrack.
STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
STRING_OR_BRACKET = re.compile(STRING + r"|[\[\]{}]", re.DOTALL)
_STRING_OR_NUMBER = re.compile(STRING + r"|(?P<number>-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?)", re.DOTALL)
_ESCAPED_SURROGATES = re.compile(
    r"\\\\|(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)

_REASONS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of object", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid control character", "Invalid encoding in string."),
    ("Invalid \\u", "Incorrect hex digit after \\u escape in string."),
    ("Invalid \\", "Invalid escape character in string."),
    ("Extra data", "The document root must not be followed by other values."),
    ("Exceeds the limit", "Number too big to be stored in double."),
)


def refuse(text: str, error: ValueError) -> NoReturn:
    """Raise Internal for a document that the standard library's parser refused with `error`."""
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    position = error.pos if isinstance(error, json.JSONDecodeError) else 0
    if message.startswith(("Expecting ',' delimiter", "Extra data")):
        reason = _after_value(text, position)
    else:
        reason = next((reason for start, reason in _REASONS if message.startswith(start)), "Invalid value.")
    raise not_json(reason, position) from error


def not_json(reason: str, position: int) -> Internal:
    return Internal(f"failed to parse the request JSON buffer: {reason} at {position}")


def refuse_lone_surrogates(text: str) -> None:
    """Raise Internal for `\\ud800` without its other half, which the standard library lets pass."""
    for match in _ESCAPED_SURROGATES.finditer(text):
        if match.group("lone"):
            raise not_json("The surrogate pair in string is invalid.", match.start())


def refuse_huge_numbers(text: str) -> None:
    """Raise Internal for a number that no double can hold, which the standard library reads as infinity."""
    for match in _STRING_OR_NUMBER.finditer(text):
        number = match.group("number") or ""
        if (len(number) > 300 or "e" in number or "E" in number) and abs(float(number)) == float("inf"):
            raise not_json("Number too big to be stored in double.", match.start())


def _after_value(text: str, position: int) -> str:
    """What is missing where a value ended and neither a comma nor the end of its container came."""
    if text[position - 1 : position].isdigit():
        if text[position : position + 1] == ".":
            return "Miss fraction part in number."
        if text[position : position + 1] in ("e", "E"):
            return "Miss exponent in number."
    container = ""
    open_brackets: list[str] = []
    for match in STRING_OR_BRACKET.finditer(text, 0, position):
        mark = match.group()
        if mark in "[{":
            open_brackets.append(mark)
        elif mark in "]}" and open_brackets:
            open_brackets.pop()
    container = open_brackets[-1] if open_brackets else ""
    return {
        "[": "Missing a comma or ] after an array element.",
        "{": "Missing a comma or } after an object member.",
    }.get(container, "The document root must not be followed by other values.")
