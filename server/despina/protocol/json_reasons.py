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

_NUMBER_AT_THE_END = re.compile(r"(?<![.\deE+-])-?\d+(?P<fraction>\.\d+)?\Z")
_LONGEST_NUMBER = 400
_HEX_DIGITS = re.compile("[0-9a-fA-F]{4}")

_REASONS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of object", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid control character", "Invalid escape character in string."),
    ("Invalid \\u", "Incorrect hex digit after \\u escape in string."),
    ("Invalid \\", "Invalid escape character in string."),
    ("Extra data", "The document root must not be followed by other values."),
    ("Exceeds the limit", "Number too big to be stored in double."),
)


def refuse(text: str, error: ValueError) -> NoReturn:
    """Raise Internal for a document that the standard library's parser refused with `error`, or for what it let pass
    before that."""
    message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    position = error.pos if isinstance(error, json.JSONDecodeError) else 0
    half_a_pair = len(r"\ud800\u") if message.startswith("Invalid \\u") else 0
    unterminated = message.startswith("Unterminated string")
    refuse_what_the_parser_lets_pass(text, len(text) if unterminated else position - half_a_pair)
    if message.startswith(("Expecting ',' delimiter", "Extra data")):
        reason = _after_value(text, position)
    elif unterminated and _ends_in_an_escape(text):
        reason = "Invalid escape character in string."
    elif message.startswith("Invalid \\u") and _HEX_DIGITS.match(text, position + 1):
        # The parser wants to see what follows the digits.
        refuse_what_the_parser_lets_pass(text, position + len("u0000"))
        reason = "Missing a closing quotation mark in string."
    else:
        reason = next((reason for start, reason in _REASONS if message.startswith(start)), "Invalid value.")
    raise not_json(reason, position) from error


def not_json(reason: str, position: int) -> Internal:
    return Internal(f"failed to parse the request JSON buffer: {reason} at {position}")


def refuse_what_the_parser_lets_pass(text: str, end: int | None = None) -> None:
    """Raise Internal for the first thing before `end` that the standard library reads and Triton's parser does not."""
    end = len(text) if end is None else end
    found = [wrong for wrong in (_lone_surrogate(text, end), _huge_number(text, end)) if wrong is not None]
    if found:
        position, reason = min(found)
        raise not_json(reason, position)


def _lone_surrogate(text: str, end: int) -> tuple[int, str] | None:
    """`\\ud800` without its other half."""
    if "\\u" in text:
        for match in _ESCAPED_SURROGATES.finditer(text, 0, end):
            if match["lone"]:
                return match.start(), "The surrogate pair in string is invalid."
    return None


def _huge_number(text: str, end: int) -> tuple[int, str] | None:
    """A number that no double can hold."""
    for match in _STRING_OR_NUMBER.finditer(text, 0, end):
        number = match["number"] or ""
        if (len(number) > 300 or "e" in number or "E" in number) and abs(float(number)) == float("inf"):
            return match.start(), "Number too big to be stored in double."
    return None


def _ends_in_an_escape(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _after_value(text: str, position: int) -> str:
    """What is missing where a value ended and neither a comma nor the end of its container came."""
    number = _NUMBER_AT_THE_END.search(text[max(0, position - _LONGEST_NUMBER) : position])
    if number is not None:
        if text.startswith(".", position) and number["fraction"] is None:
            return "Miss fraction part in number."
        if text.startswith(("e", "E"), position):
            return "Miss exponent in number."
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
