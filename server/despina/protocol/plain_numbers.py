"""The text of a JSON array that holds nothing but numbers, straight into a numpy array.

`tensor_data.from_json` judges anything that JSON can spell. This is for the usual case alone, in half the time:
simdjson puts the numbers side by side as doubles or 64-bit integers, without an object for each. Where it is not
installed (it has no wheels for Python 3.14), `struct` does that with orjson's objects: it takes only numbers, too.
Booleans are orjson's, which become bytes at once.
"""

from abc import ABC, abstractmethod
from importlib.util import find_spec
from struct import Struct, error
from typing import TYPE_CHECKING, Literal

import numpy as np
import orjson

from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.messages import Array
from despina.protocol.tensor_data import MAX_DEPTH, as_in_c

HAS_SIMDJSON = find_spec("simdjson") is not None

if TYPE_CHECKING or HAS_SIMDJSON:
    import simdjson

    _parser = simdjson.Parser()

Parsed = Literal["d", "i", "u"]
"""simdjson's names for doubles and 64-bit integers."""

KEPT_SIZE = 1024 * 1024
"""A parser keeps up to 14 times the size of the largest text that it has seen: longer ones get another."""

_PARSED: dict[str, Parsed] = {"float": "d", "signed": "i", "unsigned": "u"}
_DTYPES: dict[Parsed, type[np.generic]] = {"d": np.float64, "i": np.int64, "u": np.uint64}
_FORMATS: dict[Parsed, str] = {"d": "d", "i": "q", "u": "Q"}
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]"))

_OF_BOOLEANS = b"truefals[], \n\r\t"


class PlainNumbers(ABC):
    """Reads `count` numbers of one datatype."""

    @staticmethod
    def of(datatype_name: str, count: int) -> "PlainNumbers | None":
        """None for datatypes that are neither numbers nor booleans, or not sent as JSON."""
        datatype = DATATYPES.get(datatype_name)
        if datatype is not None and datatype.kind == "bool":
            return Booleans(datatype, count)
        if datatype is None or datatype.kind not in _PARSED:
            return None
        return (BySimdjson if HAS_SIMDJSON else ByStruct)(datatype, count)

    def __init__(self, datatype: Datatype, count: int) -> None:
        self._parsed: Parsed = _PARSED[datatype.kind]
        self._parsed_dtype = np.dtype(_DTYPES[self._parsed])
        self._dtype = datatype.dtype
        self._count = count

    @abstractmethod
    def read(self, text: bytes) -> Array | None:
        """The flat array; None when `text` is anything else, which is for `from_json` to judge."""


class BySimdjson(PlainNumbers):
    """Numbers nested or not."""

    def read(self, text: bytes) -> Array | None:
        if text.rfind(b"[") and (not text.startswith(b"[") or _is_deep(text)):
            return None
        parser = _parser if len(text) <= KEPT_SIZE else simdjson.Parser()
        try:
            array = parser.parse(text)
            assert isinstance(array, simdjson.Array)
            numbers = np.frombuffer(array.as_buffer(of_type=self._parsed), self._parsed_dtype)
        except (ValueError, TypeError, RuntimeError):
            return None
        if numbers.size != self._count:
            return None
        return as_in_c.run(numbers.astype, self._dtype, copy=False)


class ByStruct(PlainNumbers):
    """Numbers that are not nested."""

    def __init__(self, datatype: Datatype, count: int) -> None:
        super().__init__(datatype, count)
        self._struct = Struct(f"={count}{_FORMATS[self._parsed]}")

    def read(self, text: bytes) -> Array | None:
        # true and false are numbers to struct.
        if text.rfind(b"[") or b"u" in text or b"s" in text:
            return None
        try:
            numbers = np.frombuffer(self._struct.pack(*orjson.loads(text)), self._parsed_dtype)
        except (ValueError, TypeError, OverflowError, error):
            return None
        return as_in_c.run(numbers.astype, self._dtype, copy=False)


class Booleans(PlainNumbers):
    """Booleans that are not nested."""

    def __init__(self, datatype: Datatype, count: int) -> None:
        self._dtype = datatype.dtype
        self._count = count

    def read(self, text: bytes) -> Array | None:
        # Nothing else in an array has these characters alone.
        if text.rfind(b"[") or text.translate(None, _OF_BOOLEANS):
            return None
        try:
            booleans = np.frombuffer(bytes(orjson.loads(text)), self._dtype)
        except (ValueError, TypeError):
            return None
        return booleans if booleans.size == self._count else None


def _is_deep(text: bytes) -> bool:
    """Whether arrays are nested more deeply than a request may be."""
    brackets = text.translate(None, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return True
