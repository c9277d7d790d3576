"""The elements of a BYTES input of a known request, read at once.

`tensor_data.from_json` and `bytes_tensor.decode` judge whatever comes. This is for the usual case alone: a flat list of
JSON strings, or elements that are UTF-8 where the model takes them as text.
"""

from dataclasses import dataclass

import numpy as np
import orjson

from despina.errors import InvalidArgument
from despina.protocol import bytes_tensor
from despina.protocol.messages import Array
from despina.protocol.tensor_data import MISMATCH


@dataclass(frozen=True, slots=True)
class PlainTexts:
    """Reads `count` elements: as `str` where the model takes `text`, otherwise as `bytes`. A tensor may have
    `max_input_size` bytes in its wire form."""

    count: int
    text: bool
    max_input_size: int

    def read(self, data: bytes) -> Array:
        """The flat array that the JSON `data` spells. Raises InvalidArgument or JSONDecodeError for anything else,
        which is for the full decoding to judge."""
        elements = orjson.loads(data)
        # Quotation marks and a comma are at most one byte less than the length before an element.
        fits = len(data) + self.count <= self.max_input_size
        if not fits or type(elements) is not list or len(elements) != self.count:
            raise InvalidArgument(MISMATCH)
        try:
            if self.text:
                "".join(elements)
            else:
                elements = list(map(str.encode, elements))
        except TypeError:
            raise InvalidArgument(MISMATCH) from None
        return np.fromiter(elements, np.object_, self.count)

    def cut(self, data: bytes) -> Array | None:
        """The flat array of the elements whose wire form is `data`; None for anything but text where the model takes
        that, and for whatever is wrong otherwise."""
        if self.text:
            texts = bytes_tensor.decode_texts(data, self.count)
            return np.fromiter(texts, np.object_, self.count) if texts is not None else None
        try:
            return bytes_tensor.decode(data, self.count, "", "", "")
        except InvalidArgument:
            return None
