"""What a request says of its inputs and outputs, whatever else is in its text.

A member, an id or a parameter that is new each time makes the text of a request a new one, and what the model makes of
it depends on none of them. So the text without data, which is short, is parsed, and a kind of requests is known by the
entries of inputs and outputs as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from despina.errors import DespinaError
from despina.http.request_template import RequestTemplate
from despina.protocol.fields import cut_at_nul
from despina.protocol.json import as_string
from despina.protocol.messages import InferRequest
from despina.protocol.parameters import read_parameters

MAX_TEXT_BYTES = 8192
"""Longer texts without data are only decoded in full: parsing them here as well would hold up all other requests."""

_MARK = b"\x7f"
_DATA = b'"%b"' % _MARK
"""Stands for the data of an input: a character that no other text of the document is to have."""
_HIDDEN_MARK, _HIDDEN_QUOTE = b"\\u007", b"\\u0022"
"""How a text may spell it, or a quotation mark, so that counting does not see it."""


@dataclass(slots=True)
class Description:
    """`key` is the same for requests that say the same of their inputs and outputs; `request` has all but these."""

    key: tuple[bytes, bytes]
    request: InferRequest


def describe(pieces: tuple[bytes, ...]) -> Description | None:
    """What a request says whose JSON is in `pieces`, without the arrays that are the data of its inputs. None where
    this is for the full decoding to say: something may be wrong, a key be there twice, or an array be something else.
    Whether an array is one, and fits its input, is not looked at."""
    text = _DATA.join(pieces)
    gaps = len(pieces) - 1
    if len(text) > MAX_TEXT_BYTES or text.count(_MARK) != gaps:
        return None
    if b"\\" in text and (_HIDDEN_MARK in text or _HIDDEN_QUOTE in text):
        return None
    try:
        document = orjson.loads(text)
        inputs = document["inputs"]
        if gaps and [entry["data"] for entry in inputs] != ["\x7f"] * gaps:
            return None
        # Of a key that is there twice, the parser has dropped one.
        if text.count(b'"') != orjson.dumps(document).count(b'"'):
            return None
        request = InferRequest()
        if "id" in document:
            request.id = cut_at_nul(as_string(document["id"]))
        if "parameters" in document:
            read_parameters(document["parameters"], request)
        tensors = [inputs, document["outputs"]] if "outputs" in document else [inputs]
        return Description((b"binary" if request.binary_output else b"", orjson.dumps(tensors)), request)
    except (ValueError, TypeError, KeyError, DespinaError):
        return None


@dataclass(slots=True)
class Described:
    """A request in `pieces` that says the same of its inputs and outputs as those of `template`, and in `request` all
    else."""

    template: RequestTemplate
    pieces: tuple[bytes, ...]
    request: InferRequest
