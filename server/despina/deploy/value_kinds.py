"""Kinds of values in configurations: in words, and as checks."""

import re
from math import isfinite
from typing import Any

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")

KINDS = {
    "text": "text",
    "key": "printable ASCII without blanks",
    "bool": "true or false",
    "port": "an integer from 1 to 65535",
    "namespace": "a DNS label: up to 63 lower-case letters, digits and '-', beginning and ending without '-'",
    "positive": "a number above 0",
    "count": "an integer from 0 up",
    "positive count": "an integer above 0",
}


def fits(value: Any, kind: str) -> bool:
    """Whether a JSON value is what `KINDS[kind]` says."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or (isinstance(value, float) and isfinite(value))
    match kind:
        case "text":
            return isinstance(value, str) and value != ""
        case "key":
            return isinstance(value, str) and is_key(value)
        case "bool":
            return isinstance(value, bool)
        case "port":
            return whole and 1 <= value <= 65535
        case "namespace":
            return isinstance(value, str) and is_label(value)
        case "positive":
            return number and value > 0
        case "count":
            return whole and value >= 0
        case _:
            return whole and value > 0


def is_key(text: str) -> bool:
    """Whether a header can carry it, as one word."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text


def is_label(text: str) -> bool:
    """A DNS label."""
    return len(text) <= 63 and LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """A DNS name as Kubernetes means it (RFC 1123): parts like labels, between dots, of any length."""
    return len(text) <= 253 and SUBDOMAIN.fullmatch(text) is not None
